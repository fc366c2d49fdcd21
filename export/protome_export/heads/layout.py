"""Lay the solid head out flat, for textures: cut open along one seam, mapped onto a square.

The seam runs along the middle from the crown down the back of the head to the middle of the neck's
end. Each vertex inside lies at a positive weighted mean of its neighbours and the outline is
convex, so that no triangle is turned over and none overlap (Tutte 1963; Floater 1997). The weights
are mean value coordinates (Floater 2003), relaxed until what is important gets as much area as it
shall (Yoshizawa, Belyaev and Seidel, "A fast and simple stretch-minimizing mesh parameterization",
2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from .model import Floats, Ints

_MARGIN = 1 / 256  # of the square that stays empty on each side
_ROUNDS = 12


@dataclass(frozen=True)
class Layout:
    """A flat layout.

    Attributes:
        uv: (M, 2) in 0..1, u to the head's left, v down; the first N belong to the head's vertices,
            the others to those of the seam, seen from its other side.
        triangles: (T, 3) indices into ``uv``, in the order of the head's triangles.
    """

    uv: Floats
    triangles: Ints


def lay_out(vertices: Floats, triangles: Ints, importance: Floats, mirror: Ints) -> Layout:
    """Lay out a closed head, symmetric: the mirror image of (u, v) lies at (1 - u, v).

    A head too coarse for that, so that triangles would be turned over, is laid out as it is.

    Args:
        vertices: (N, 3) cm, head frame.
        triangles: (T, 3), outward; genus 0.
        importance: (N,) positive; the length in the layout of 1 cm, relative to other places.
        mirror: (N,) the vertex that is each one's mirror image.

    Raises:
        ValueError: a triangle is turned over.
    """
    path = _seam(vertices, triangles)
    cut, left, right = _cut(triangles, path)
    twins = np.concatenate([np.arange(len(vertices)), path[1:-1]])
    points, wanted = vertices[twins].astype(np.float64), importance[twins].astype(np.float64)
    steps = np.linalg.norm(np.diff(points[path], axis=0), axis=1)
    steps = steps * (wanted[path][1:] + wanted[path][:-1])
    along = np.concatenate([[0], steps.cumsum() / steps.sum() * 2])
    along = _to_corners(along)
    fixed = np.concatenate([left, right[1:-1]])
    place = np.concatenate([_outline(along, -1), _outline(along, 1)[1:-1]])
    plain = _relaxed(points, cut, fixed, place, wanted)
    uv = _symmetric(plain, twins, mirror)
    if not (_areas(uv[cut]) < 0).all():
        uv = plain
    area = _areas(uv[cut])
    turned = ~(area < 0)  # v is down: what is outward turns clockwise
    if turned.any():
        raise ValueError(f"the layout turns {int(turned.sum())} triangles over")
    uv = _MARGIN + (1 - 2 * _MARGIN) * uv
    return Layout(uv.astype(np.float32), cut.astype(np.int32))


def _seam(vertices: Floats, triangles: Ints) -> NDArray[np.int64]:
    """Return the shortest path of edges along the middle of the back, from crown to neck's end."""
    x, y, z = vertices.T
    top, bottom = int((y - 10 * abs(x)).argmax()), int((y + 10 * abs(x)).argmin())
    a, b = triangles.ravel(), triangles[:, [1, 2, 0]].ravel()
    length = np.linalg.norm(vertices[a] - vertices[b], axis=1)
    middle = (vertices[top] + vertices[bottom])[2] / 2
    before = np.maximum(z[a] + z[b] - 2 * max(middle, z[top], z[bottom]), 0)
    cost = length * (1 + abs(x[a]) + abs(x[b]) + 10 * before)
    graph = sp.csr_matrix((cost, (a, b)), (len(vertices), len(vertices)))
    _, previous = dijkstra(graph, indices=np.array(top), return_predecessors=True)
    path = [bottom]
    while path[-1] != top:
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1])


def _cut(
    triangles: Ints, path: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut along a path of vertices.

    Returns:
        (T, 3) triangles with new vertices, which follow the old ones, on the right of the path as
        seen from outside; the path's vertices on its left and on its right.
    """
    count = int(triangles.max()) + 1
    corner = {(int(t[k]), int(t[(k + 1) % 3])): (i, k)
              for i, t in enumerate(triangles) for k in range(3)}  # fmt: skip
    cut = triangles.astype(np.int64)
    right = path.copy()
    right[1:-1] = count + np.arange(len(path) - 2)
    for before, here, after, new in zip(path, path[1:], path[2:], right[1:-1], strict=False):
        neighbour = int(before)
        while neighbour != after:  # clockwise about ``here`` on the right of the path
            face, k = corner[int(here), neighbour]
            cut[face, k] = new
            neighbour = int(triangles[face, (k + 2) % 3])
    return cut, path, right


def _to_corners(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch places (P,) along the outline, 0 ... 2, so that one comes to each corner."""
    corners = [int(np.abs(along - c).argmin()) for c in (0.5, 1.5)]
    knots = along[[0, *corners, -1]]
    return np.asarray(np.interp(along, knots, [0, 0.5, 1.5, 2]))


def _outline(along: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return (P, 2) places on the unit square's outline, on the left (-1) or on the right.

    They run from the top's middle (0) to the bottom's (2).
    """
    u = 0.5 + side * np.minimum(np.minimum(along, 2 - along), 0.5)
    return np.stack([u, np.clip(along - 0.5, 0, 1)], 1)


def _symmetric(
    uv: NDArray[np.float64], vertex: NDArray[np.int64], mirror: Ints
) -> NDArray[np.float64]:
    """Return the mean of a layout and its mirror image; ``vertex`` is the one of each row."""
    other = np.arange(len(mirror))
    other[vertex[len(mirror) :]] = np.arange(len(mirror), len(uv))
    flipped = uv * [-1, 1] + [1, 0]
    # On the seam the mirror image has two rows: the one on the other side is meant.
    rows = np.stack([mirror[vertex], other[mirror[vertex]]])
    away = np.linalg.norm(uv[rows] - flipped, axis=2)
    return np.asarray((uv + flipped[np.where(away[0] <= away[1], *rows)]) / 2)


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)


def _relaxed(
    points: NDArray[np.float64],
    triangles: NDArray[np.int64],
    fixed: NDArray[np.int64],
    place: NDArray[np.float64],
    wanted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Place the vertices that are not fixed; of all rounds' layouts return the least stretched."""
    rows, columns, weights = _mean_value(points, triangles)
    free = np.ones(len(points), bool)
    free[fixed] = False
    uv = np.zeros((len(points), 2))
    uv[fixed] = place
    best, least = uv, np.inf
    for _ in range(_ROUNDS):
        w = sp.csr_matrix((weights, (rows, columns)), (len(points), len(points)))
        system = (sp.diags_array(np.asarray(w.sum(1)).ravel()) - w).tocsr()
        known = -system[free][:, fixed] @ place
        uv = uv.copy()
        uv[free] = np.asarray(spsolve(system[free][:, free].tocsc(), known))
        stretch, total = _stretch(points, triangles, uv, wanted)
        if total < least:
            best, least = uv, total
        weights = weights / np.sqrt(stretch[columns])
    return best


def _mean_value(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return mean value weights as row, column, value; those of a pair add up."""
    rows, columns, weights = [], [], []
    for k in range(3):
        i, j, o = triangles[:, k], triangles[:, (k + 1) % 3], triangles[:, (k + 2) % 3]
        a, b = points[j] - points[i], points[o] - points[i]
        la, lb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cosine = np.clip((a * b).sum(1) / (la * lb), -1, 1)
        half = np.sqrt((1 - cosine) / np.maximum(1 + cosine, 1e-6))  # tan of half the angle
        half = np.clip(half, 1e-3, 1e3)
        rows += [i, i]
        columns += [j, o]
        weights += [half / la, half / lb]
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)


def _stretch(
    points: NDArray[np.float64],
    triangles: NDArray[np.int64],
    uv: NDArray[np.float64],
    wanted: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return the L2 stretch (Sander et al. 2001) of a layout at its vertices, and that of all.

    Lengths on the head are multiplied by what is wanted there.
    """
    scale = wanted[triangles].mean(1)
    p, q = points[triangles] * scale[:, None, None], uv[triangles]
    flat = np.abs(_areas(q)) + 1e-12
    s, t = (  # derivatives of the point by u and by v
        sum(p[:, k] * (q[:, (k + 1) % 3, axis] - q[:, (k + 2) % 3, axis])[:, None]
            for k in range(3)) / (2 * flat)[:, None]
        for axis in (1, 0)
    )  # fmt: skip
    solid = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2
    energy = solid * ((s * s).sum(1) + (t * t).sum(1)) / 2
    at = np.zeros((2, len(points)))
    for k in range(3):
        np.add.at(at[0], triangles[:, k], energy)
        np.add.at(at[1], triangles[:, k], solid)
    stretch = np.sqrt(at[0] / np.maximum(at[1], 1e-12))
    return stretch / np.median(stretch), float(energy.sum() / solid.sum())
