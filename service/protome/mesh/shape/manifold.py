"""Make a mesh manifold again where collapsed edges have joined sheets that were apart.

Where a thin part folds flat or a small handle closes, two sheets come to share an edge, which then
has four triangles, or a pair of triangles comes to lie back to back. Such pairs are removed, and
the sheets are given vertices of their own (Guéziec et al., "Cutting and Stitching", IEEE TVCG
2001).
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, F64, I32, U32

# How far vertices of sheets that touched are moved inwards, crop pixels, so that programs that weld
# vertices by place do not join them again.
APART: Final = 0.02

I64 = npt.NDArray[np.int64]
P = TypeVar("P", F32, F64)
N = TypeVar("N", U32, I64)


def is_closed(triangles: U32) -> bool:
    """Return whether each edge has exactly one triangle on either side."""
    t = triangles.astype(np.int64)
    starts, ends = t.ravel(), t[:, [1, 2, 0]].ravel()
    forth, back = np.sort(starts << 32 | ends), np.sort(ends << 32 | starts)
    return bool((np.diff(forth) > 0).all() and (forth == back).all())


def separate(vertices: F32, triangles: U32) -> tuple[F32, U32]:
    """Separate sheets that touch, and keep the largest piece.

    Args:
        vertices: (n, 3) crop pixels.
        triangles: (m, 3); each edge is used as often forwards as backwards.

    Returns:
        The same of a closed manifold mesh.

    Raises:
        ValueError: the mesh has a border.
    """
    t = _without_pairs(triangles.astype(np.int64))
    starts, ends = t.ravel(), t[:, [1, 2, 0]].ravel()
    if not (np.sort(starts << 32 | ends) == np.sort(ends << 32 | starts)).all():
        raise ValueError("the mesh has a border")
    twin, shared = _twins(vertices, t, starts, ends)
    fans, source = _fans(twin, starts)
    joined = np.zeros(len(vertices), np.bool_)
    for low, high in shared:
        # Parted into two solids the sheets still have both ends in common, if those solids join
        # elsewhere around each end: then it is the air that is parted into two.
        if len(low) == 2 and len(np.unique(_edges(fans)[low])) == 1:
            twin[low], twin[high] = twin[low[::-1]], twin[high[::-1]]
            joined[[starts[low[0]], ends[low[0]]]] = True
            fans, source = _fans(twin, starts)
    apart = np.where(joined, APART, -APART).astype(np.float32)[source]
    apart[np.bincount(source, minlength=len(vertices))[source] == 1] = 0
    points = vertices[source]
    points += apart[:, None] * vertex_normals(points, fans).astype(np.float32)
    return largest_piece(points, fans.astype(np.uint32))


def _fans(twin: I64, starts: I64) -> tuple[I64, I64]:
    """Return triangles with a vertex of its own for each fan of them, and what vertices those were.

    Args:
        twin: for each directed edge, 3 x triangle + corner, the opposite one of its sheet.
        starts: for each directed edge the vertex that it begins at.
    """
    corners = np.arange(len(twin))
    following = corners.reshape(-1, 3)[:, [1, 2, 0]].ravel()
    # A corner belongs to the same vertex as that of the triangle across either of its edges.
    links = np.concatenate([corners, following]), np.concatenate([following[twin], twin])
    count, vertex = _components(len(twin), links)
    source = np.zeros(count, np.int64)
    source[vertex] = starts
    return vertex.reshape(-1, 3).astype(np.int64), source


def _edges(triangles: I64) -> I64:
    """Return a number for each directed edge."""
    return np.asarray(triangles.ravel() << 32 | triangles[:, [1, 2, 0]].ravel())


def largest_piece(points: P, triangles: U32) -> tuple[P, U32]:
    """Keep the piece of a mesh with the most triangles."""
    n = len(points)
    ends = triangles[:, [1, 2]].ravel()
    starts = np.repeat(triangles[:, 0], 2)
    count, labels = _components(n, (starts, ends))
    if count <= 1:
        return points, triangles
    keep = labels == np.bincount(labels[triangles[:, 0]]).argmax()
    number = np.cumsum(keep, dtype=np.uint32) - 1
    return points[keep], number[triangles[keep[triangles[:, 0]]]]


def _components(count: int, links: tuple[N, N]) -> tuple[int, I32]:
    """Return the number of connected components, and the component of each of ``count`` nodes."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links[0]), np.uint8)
    found, component = connected_components(
        sparse.coo_matrix((ones, links), shape=(count, count)), directed=False
    )
    return int(found), np.asarray(component, np.int32)


def vertex_normals(points: F32 | F64, triangles: I32 | I64) -> F64:
    """Return the unit normal of each vertex, (n, 3), of its triangles' normals weighted by area."""
    corners = points[triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = [np.bincount(triangles.ravel(), np.repeat(f, 3), len(points)) for f in facets.T]
    return unit(np.stack(sums, axis=1))


def unit(vectors: F64) -> F64:
    """Return vectors, (n, 3), of length 1; those of length 0 as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1))


def _without_pairs(triangles: I64) -> I64:
    """Remove triangles that lie back to back."""
    first = triangles.argmin(axis=1)[:, None]
    turned = np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)
    mirrored = turned[:, 2] < turned[:, 1]
    same, number = np.unique(np.sort(turned, axis=1), axis=0, return_inverse=True)
    net = np.bincount(number.ravel(), np.where(mirrored, -1, 1)).astype(np.int64)
    kept = np.repeat(same, np.abs(net), axis=0)
    turn = np.repeat(net < 0, np.abs(net))
    kept[turn] = kept[turn][:, [0, 2, 1]]
    return kept


def _twins(
    vertices: F32, triangles: I64, starts: I64, ends: I64
) -> tuple[I64, list[tuple[I64, I64]]]:
    """Return for each directed edge the opposite one of the same sheet, and the shared edges.

    Those are given as the directed edges of their sheets one way, and those the other way.
    """
    forth, back = starts << 32 | ends, ends << 32 | starts
    order = np.argsort(forth, kind="stable")
    first = np.searchsorted(forth[order], back, side="left")
    count = np.searchsorted(forth[order], back, side="right") - first
    twin = order[first]
    shared = []
    for key in np.unique(np.minimum(forth, back)[count > 1]):
        low, high = np.flatnonzero(forth == key), np.flatnonzero(back == key)
        pairs = high[_by_angle(vertices, triangles, low, high)]
        twin[low], twin[pairs] = pairs, low
        shared.append((low, pairs))
    return twin, shared


def _by_angle(vertices: F32, triangles: I64, low: I64, high: I64) -> I64:
    """Return for each triangle of an edge the one at the other side of its sheet's solid.

    Args:
        vertices: of the mesh.
        triangles: of the mesh.
        low: directed edges from one vertex to another, as 3 x triangle + corner.
        high: those back.

    Returns:
        Indices into ``high``, each once.
    """
    begin, end = (vertices[triangles.ravel()[low[0] // 3 * 3 + (low[0] + i) % 3]] for i in (0, 1))
    axis = (end - begin).astype(np.float64)
    axis /= max(float(np.linalg.norm(axis)), 1e-30)
    aside = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    aside /= np.linalg.norm(aside)
    up = np.cross(axis, aside)

    def angles(edges: I64) -> F64:
        apex = vertices[triangles.ravel()[edges // 3 * 3 + (edges + 2) % 3]] - begin
        return np.asarray(np.arctan2(apex @ up, apex @ aside))

    # The solid begins at the triangle that has the edge in its direction, and goes on against the
    # sense of the axis until the next triangle that has it backwards.
    gap = (angles(low)[:, None] - angles(high)[None]) % (2 * np.pi)
    taken: list[int] = []
    for row in np.argsort(gap.min(axis=1)):
        taken.append(int(next(c for c in np.argsort(gap[row]) if c not in taken)))
    pairs = np.empty(len(low), np.int64)
    pairs[np.argsort(gap.min(axis=1))] = taken
    return pairs
