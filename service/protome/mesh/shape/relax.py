"""Space the vertices of a surface evenly, with NumPy.

``kernel/shape/relax.c`` does the same and explains it; this is for ``isosurface``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protome.geometry import F64, I32, U32

from .scan import I64, Bits

# Share of the way to the middle of the neighbours.
PACE: Final = 0.8
# Most triangles that a vertex walks over.
MOST_STEPS: Final = 12


def smooth(points: F64, normals: F64, triangles: U32, rounds: int) -> F64:
    """Return vertices moved towards the middle of their neighbours, across their normals."""
    starts, ends = triangles.ravel(), triangles[:, [1, 2, 0]].ravel()
    n = len(points)
    degree = np.bincount(starts, minlength=n)[:, None]
    for _ in range(rounds):
        sums = np.stack([np.bincount(starts, points[ends, a], n) for a in range(3)], axis=1)
        way = sums / degree - points
        way -= (way * normals).sum(axis=1, keepdims=True) * normals
        points = points + PACE * way
    return points


def walk(points: F64, source: I64, vertices: F64, faces: I32) -> tuple[I64, F64, Bits]:
    """Walk over a mesh to the triangles below points.

    Args:
        points: (n, 3).
        source: (n,) the triangles to start from.
        vertices: (v, 3), of the mesh.
        faces: (m, 6), of the mesh, from :func:`faces_of`.

    Returns:
        The triangles, barycentric weights (n, 2) of their second and third corners, and whether a
        triangle was found.
    """
    triangles, over = faces[:, :3], faces[:, 3:]
    at, before = source.copy(), np.full(len(points), -1)
    weights = np.zeros((len(points), 3))
    found = np.zeros(len(points), np.bool_)
    todo = np.arange(len(points))
    for _ in range(MOST_STEPS):
        corners = vertices[triangles[at[todo]]]
        shares, sound = _barycentric(points[todo], corners)
        row, worst = np.arange(len(todo)), shares.argmin(axis=1)
        within = shares[row, worst] >= 0
        start, end = (worst + 1) % 3, (worst + 2) % 3
        following = over[at[todo], start]
        # Where the walk would turn back, the point is beyond the ridge between two triangles.
        back = ~within & (following >= 0) & (following == before[todo])
        ridge, way = corners[row, end] - corners[row, start], points[todo] - corners[row, start]
        length = np.maximum((ridge * ridge).sum(axis=1), 1e-30)
        share = np.clip((way * ridge).sum(axis=1) / length, 0, 1)
        nearest = np.zeros_like(shares)
        nearest[row, end], nearest[row, start] = share, 1 - share
        done = (within | back) & sound
        weights[todo[done]] = np.where(back[:, None], nearest, shares)[done]
        found[todo[done]] = True
        go = ~done & sound & (following >= 0)
        before[todo[go]] = at[todo[go]]
        at[todo[go]] = following[go]
        todo = todo[go]
    return at, weights[:, 1:], found


def _barycentric(points: F64, corners: F64) -> tuple[F64, Bits]:
    """Return weights of points in the planes of triangles, and whether those have an area."""
    along, aside = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    to = points - corners[:, 0]
    normal = np.cross(along, aside)
    square = (normal * normal).sum(axis=1)
    sound = square > 0
    square = np.where(sound, square, 1)
    second = (np.cross(to, aside) * normal).sum(axis=1) / square
    third = (np.cross(along, to) * normal).sum(axis=1) / square
    return np.stack([1 - second - third, second, third], axis=1), sound


def faces_of(triangles: I32) -> I32:
    """Return triangles and their neighbours.

    Returns:
        (m, 6): the corners, and the triangle across the edge from each corner to the next, -1 for
        none.
    """
    t = triangles.astype(np.int64)
    starts, ends = t.ravel(), t[:, [1, 2, 0]].ravel()
    n = int(t.max(initial=0)) + 1
    forth, back = starts * n + ends, ends * n + starts
    order = np.argsort(forth, kind="stable")
    twin = order[np.minimum(np.searchsorted(forth[order], back), len(order) - 1)]
    across = np.where(forth[twin] == back, twin // 3, -1).reshape(-1, 3)
    return np.concatenate([triangles, across], axis=1, dtype=np.int32)
