"""volume → surface: marching cubes on the occupied box.

Lorensen and Cline, "Marching Cubes", SIGGRAPH 1987, as PyMCubes implements it. The surface is
closed (the volume is padded with empty space) and one piece (smaller pieces and hollows dropped).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import mcubes
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .errors import NoSurface
from .grid import CROP_DEPTH, CROP_SIDE, F32, U8, U32

BACKEND: Final = "PyMCubes"
ISO: Final = 127.5
MIN_TRIANGLES: Final = 200


@dataclass(frozen=True, slots=True)
class Surface:
    """A triangle mesh in crop coordinates.

    Attributes:
        vertices: (n, 3) float32, crop pixels x right, y down, z away from the camera.
        normals: (n, 3) float32, unit, outwards, same axes.
        triangles: (m, 3) uint32, counter-clockwise seen from outside.
    """

    vertices: F32
    normals: F32
    triangles: U32


def extract(volume: U8) -> Surface:
    """Extract the head's surface from its occupancy.

    Args:
        volume: (depth, height, width) uint8, 255 inside, surface at 127.5, spanning the whole
            crop volume whatever its resolution.

    Raises:
        NoSurface: nothing, or next to nothing, is occupied.
    """
    box = _occupied(volume)
    padded = np.pad(volume[box].astype(np.float32), 1)
    points, triangles = mcubes.marching_cubes(padded, ISO)
    points, triangles = _largest(points, triangles.astype(np.uint32))
    if len(triangles) < MIN_TRIANGLES:
        raise NoSurface("the network saw no head in the crop")
    vertices = _to_crop(points, box, volume.shape)
    # PyMCubes winds for (z, y, x), a left-handed order of our axes.
    triangles = np.ascontiguousarray(triangles[:, ::-1])
    return Surface(vertices, _normals(vertices, triangles), triangles)


def _occupied(volume: U8) -> tuple[slice, slice, slice]:
    """The box of voxels at or next to the inside."""
    inside = volume > ISO
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        if not len(hit):
            raise NoSurface("the network saw no head in the crop")
        spans.append(slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2))
    return spans[0], spans[1], spans[2]


def _largest(points: np.ndarray, triangles: U32) -> tuple[np.ndarray, U32]:
    """Keep the piece with the most triangles; the others are islands and hollows."""
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


def _to_crop(points: np.ndarray, box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> F32:
    """Voxel indices of the padded box (z, y, x) to crop coordinates (x, y, z)."""
    starts = np.array([span.start - 1 for span in box])
    extent = np.array([CROP_DEPTH, CROP_SIDE, CROP_SIDE])
    centred = (points + starts + 0.5) * (extent / np.array(shape))
    return np.ascontiguousarray(centred[:, ::-1], np.float32)


def _normals(vertices: F32, triangles: U32) -> F32:
    """Area-weighted mean of the triangles' normals at each vertex."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    facets = np.cross(b - a, c - a)
    normals = np.empty_like(vertices)
    corners = triangles.ravel()
    for axis in range(3):
        weights = np.repeat(facets[:, axis], 3)
        normals[:, axis] = np.bincount(corners, weights, minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)
