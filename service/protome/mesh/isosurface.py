"""Extract an isosurface with PyMCubes, SciPy and NumPy.

Used where the compiled ``_kernel`` could not be built, and as its reference in tests.
"""

from __future__ import annotations

from typing import Final

import mcubes
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from protome.geometry import F32, F64, U8, U32

BACKEND: Final = "PyMCubes"
ISO: Final = 127.5
# Samples to keep around the occupied box, because smoothing and differences need them.
MARGIN: Final = 3


def extract(
    volume: U8, voxel: tuple[float, float, float], largest: bool, /
) -> tuple[F32, F32, U32]:
    """Extract the surface at 127.5.

    Args:
        volume: (depth, height, width) uint8.
        voxel: extent of a voxel along z, y and x.
        largest: keep only the piece with the most triangles.

    Returns:
        Vertices (x, y, z) in the unit of ``voxel`` and unit normals, (n, 3) float32; triangles,
        (m, 3) uint32; all empty if no voxel is occupied.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range.
    """
    if volume.dtype != np.uint8:
        raise TypeError("volume must be uint8")
    if volume.ndim != 3:
        raise ValueError(f"volume must have 3 dimensions, not {volume.ndim}")
    if not (np.isfinite(voxel).all() and min(voxel) > 0):
        raise ValueError("voxel must be positive and finite")
    box = _occupied(volume)
    if box is None:
        return (
            np.empty((0, 3), np.float32),
            np.empty((0, 3), np.float32),
            np.empty((0, 3), np.uint32),
        )
    field = np.pad(volume, MARGIN)[tuple(slice(s.start, s.stop + 2 * MARGIN) for s in box)]
    points, found = mcubes.marching_cubes(field.astype(np.float32), ISO)
    triangles = found.astype(np.uint32)
    if largest:
        points, triangles = _largest(points, triangles)
    normals = _normals(field, points, voxel)
    starts = np.array([span.start - MARGIN for span in box])
    vertices = (points + starts + 0.5) * voxel
    return (
        np.ascontiguousarray(vertices[:, ::-1], np.float32),
        normals,
        # PyMCubes orients triangles for (z, y, x), a left-handed order of these axes.
        np.ascontiguousarray(triangles[:, ::-1]),
    )


def _occupied(volume: U8) -> tuple[slice, ...] | None:
    """Return the bounding box of the occupied voxels, or None if there are none."""
    inside = volume > ISO
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(hit):
            return None
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(spans)


def _largest(points: F64, triangles: U32) -> tuple[F64, U32]:
    """Keep the piece with the most triangles; the others are islands and inner cavities."""
    n = len(points)
    ends = triangles[:, [1, 2]].ravel()
    starts = np.repeat(triangles[:, 0], 2)
    edges = sparse.coo_matrix((np.ones(len(ends), np.uint8), (starts, ends)), shape=(n, n))
    count, labels = connected_components(edges, directed=False)
    if count <= 1:
        return points, triangles
    keep = labels == np.bincount(labels[triangles[:, 0]]).argmax()
    number = np.cumsum(keep, dtype=np.uint32) - 1
    return points[keep], number[triangles[keep[triangles[:, 0]]]]


def _normals(field: U8, points: F64, voxel: tuple[float, float, float]) -> F32:
    """Return the negative gradient of the smoothed field as unit (x, y, z), (n, 3)."""
    smooth = field.astype(np.float64)
    for axis in range(3):
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis, mode="constant")
    slopes = np.gradient(smooth, *voxel)
    downhill = [-ndimage.map_coordinates(s, points.T, order=1) for s in reversed(slopes)]
    normals = np.stack(downhill, axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)
