"""Simplify a surface to a budget of triangles and bytes.

Edges are collapsed by quadric error (Garland and Heckbert, "Surface Simplification Using Quadric
Error Metrics", SIGGRAPH 1997) in the fast-simplification package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import fast_simplification
import numpy as np

from protome.geometry import F32, F64, U32

from .manifold import is_closed, separate
from .scan import I64
from .surface import MIN_TRIANGLES, Surface

MIN_BYTES: Final = 1024
# Most files written to find the largest within the byte limit, and the share of the limit that is
# large enough to stop.
TRIES: Final = 5
NEAR_ENOUGH: Final = 0.9
# Most vertices of the full surface at which the error is measured.
PROBES: Final = 4096
# Points on the simplified surface to find near triangles with: square pixels per point, and number
# of nearest points to try.
AREA: Final = 4.0
NEAREST: Final = 3

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class MeshBudget:
    """Upper limits of a mesh; 0 is no limit.

    Attributes:
        max_triangles: 0 or at least ``MIN_TRIANGLES``.
        max_bytes: size of the encoded mesh, 0 or at least ``MIN_BYTES``.
    """

    max_triangles: int = 0
    max_bytes: int = 0


UNLIMITED: Final = MeshBudget()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A simplified surface and its :func:`distance` from the full one in crop pixels."""

    surface: Surface
    error: float


def simplify_to_budget(
    full: Surface, budget: MeshBudget, write: Callable[[Surface], W], size: Callable[[W], int]
) -> tuple[Fitted, W]:
    """Simplify a surface until it is within a budget.

    Args:
        full: the surface.
        budget: limits; if they cannot be reached, the smallest mesh that was found is returned.
        write: encodes a surface.
        size: returns the bytes of an encoded surface.

    Returns:
        The surface and its encoding.
    """
    surface = full
    if 0 < budget.max_triangles < len(full.triangles):
        surface = simplify(full, budget.max_triangles)
    written = write(surface)
    if 0 < budget.max_bytes < size(written):
        surface, written = _shrink(surface, full, budget.max_bytes, written, write, size)
    return Fitted(surface, 0.0 if surface is full else distance(full, surface)), written


def _shrink(
    surface: Surface,
    full: Surface,
    limit: int,
    written: W,
    write: Callable[[Surface], W],
    size: Callable[[W], int],
) -> tuple[Surface, W]:
    """Return the largest file under the limit found in a few tries, else the smallest file."""
    best, best_written = surface, written
    most, least = len(surface.triangles), MIN_TRIANGLES
    # Bytes as a linear function of triangles; at first without a constant part.
    fixed, each = 0.0, size(written) / len(surface.triangles)
    last = surface, size(written)
    for _ in range(TRIES):
        aim = int(np.clip((0.5 * (1 + NEAR_ENOUGH) * limit - fixed) / each, least, most))
        surface = simplify(full, aim)
        written = write(surface)
        fits, better = size(written) <= limit, size(written) > size(best_written)
        if size(best_written) > limit or (fits and better):
            best, best_written = surface, written
        if fits:
            least = max(least, len(surface.triangles))
        else:
            most = min(most, len(surface.triangles))
        if most <= least or (fits and size(written) >= NEAR_ENOUGH * limit):
            break
        apart = len(last[0].triangles) - len(surface.triangles)
        if apart and (last[1] - size(written)) / apart > 0:
            each = (last[1] - size(written)) / apart
            fixed = size(written) - each * len(surface.triangles)
        last = surface, size(written)
    return best, best_written


def simplify(full: Surface, triangles: int) -> Surface:
    """Simplify a surface to about this number of triangles.

    With a few hundred triangles thin parts such as ears fold flat and small handles close; what
    touches then is separated. Each normal is the mean of those normals of the full surface whose
    vertices are nearest to the simplified vertex; its place on the head is that of the nearest
    vertex of the full surface.
    """
    if triangles >= len(full.triangles):
        return full
    vertices, numbers = _collapse(full, triangles)
    if not is_closed(numbers):
        vertices, numbers = separate(vertices, numbers)
    nearest = _nearest(vertices, full.vertices)
    return Surface(
        vertices,
        _normals(full, vertices, numbers),
        numbers,
        full.source[nearest],
        full.weights[nearest],
        full.head,
        full.posed,
    )


def _collapse(full: Surface, triangles: int) -> tuple[F32, U32]:
    points, found = fast_simplification.simplify(
        full.vertices, full.triangles.astype(np.int32), target_count=triangles
    )
    used, corners = np.unique(found, return_inverse=True)
    vertices = np.ascontiguousarray(points[used], np.float32)
    return vertices, corners.reshape(-1, 3).astype(np.uint32)


def _normals(full: Surface, vertices: F32, triangles: U32) -> F32:
    nearest = _nearest(full.vertices, vertices)
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    facets = np.cross(b - a, c - a)
    normals = np.empty_like(vertices)
    for axis in range(3):
        means = np.bincount(nearest, full.normals[:, axis], len(vertices))
        # Add a little of the facet normals for vertices that are not nearest to any vertex.
        own = np.bincount(triangles.ravel(), np.repeat(facets[:, axis], 3), len(vertices))
        normals[:, axis] = means + 1e-3 * own
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)


def distance(full: Surface, simple: Surface) -> float:
    """Return the distance of a simplified surface from the full one in crop pixels.

    This is the largest distance of up to ``PROBES`` evenly drawn vertices of the full surface to
    the simplified triangles that have one of the ``NEAREST`` nearest points. It is never less than
    the distance to the whole simplified surface.
    """
    probes = full.vertices[:: -(-len(full.vertices) // PROBES)].astype(np.float64)
    corners = simple.vertices[simple.triangles].astype(np.float64)
    spots, triangle = _spread(corners)
    nearest = _nearest(probes, spots, NEAREST)
    least = np.full(len(probes), np.inf)
    for candidate in triangle[nearest].T:
        least = np.minimum(least, _to_triangles(probes, corners[candidate]))
    return float(least.max())


def _nearest(points: F32 | F64, among: F32 | F64, count: int = 1) -> I64:
    """Return the numbers of the nearest ones to each point, (n,) or (n, count)."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(among).query(points, k=count)[1], np.int64)


def _spread(corners: F64) -> tuple[F64, np.ndarray]:
    """Return points on triangles, (m, 3, 3), one per ``AREA``, and the triangle of each point."""
    edges = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    count = np.ceil(area / AREA).astype(np.int64) + NEAREST
    triangle = np.repeat(np.arange(len(corners)), count)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    # A low-discrepancy sequence (additive recurrence) in the unit square, folded into the triangle.
    u, v = ((0.5 + step * within) % 1 for step in (0.7548776662466927, 0.5698402909980532))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    first, second = edges[triangle].transpose(1, 0, 2)
    return corners[triangle, 0] + u[:, None] * first + v[:, None] * second, triangle


def _to_triangles(points: F64, corners: F64) -> F64:
    """Return the distance of each point, (n, 3), to its triangle, (n, 3, 3)."""
    least = np.full(len(points), np.inf)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    over = np.ones(len(points), np.bool_)
    for i in range(3):
        start, along = corners[:, i], corners[:, (i + 1) % 3] - corners[:, i]
        square = np.maximum((along * along).sum(axis=1), 1e-30)
        t = np.clip(((points - start) * along).sum(axis=1) / square, 0, 1)
        gap = points - start - t[:, None] * along
        least = np.minimum(least, np.linalg.norm(gap, axis=1))
        over &= (np.cross(along, points - start) * normal).sum(axis=1) >= 0
    length = np.linalg.norm(normal, axis=1)
    plane = np.abs(((points - corners[:, 0]) * normal).sum(axis=1)) / np.maximum(length, 1e-30)
    return np.asarray(np.where(over & (length > 0), np.minimum(plane, least), least))
