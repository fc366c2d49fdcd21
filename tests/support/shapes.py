"""Synthetic volumes, surfaces and pictures whose geometry is known exactly."""

from __future__ import annotations

import numpy as np
import trimesh

from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, F64, GRIDS, U8, U32, Level
from protome.mesh.surface import Surface, extract

CENTRE = (CROP_SIDE / 2, CROP_SIDE / 2, CROP_DEPTH / 2)
RAMP = 8.0
"""Crop pixels over which occupancy falls from 255 to 0: wide enough to be linear in a voxel."""


def voxel_centres(level: Level) -> tuple[F64, F64, F64]:
    """x, y and z of the voxels' centres in crop coordinates, each broadcastable to the volume."""
    (depth, height, width), (dz, dy, dx) = GRIDS[level].shape, GRIDS[level].voxel
    z = (np.arange(depth, dtype=np.float64) + 0.5) * dz
    y = (np.arange(height, dtype=np.float64) + 0.5) * dy
    x = (np.arange(width, dtype=np.float64) + 0.5) * dx
    return x[None, None, :], y[None, :, None], z[:, None, None]


def occupancy(inside: F64) -> U8:
    """Occupancy from a signed distance in crop pixels, positive inside."""
    return np.clip(np.round(127.5 + 255 * inside / RAMP), 0, 255).astype(np.uint8)


def sphere_volume(
    radius: float,
    centre: tuple[float, float, float] = CENTRE,
    level: Level = Level.STANDARD,
) -> U8:
    """A ball; radius and centre (x, y, z) in crop pixels."""
    x, y, z = voxel_centres(level)
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return occupancy(radius - distance)


def sphere(radius: float = 40.0, level: Level = Level.STANDARD) -> Surface:
    """The surface of a ball in the middle of the crop."""
    return extract(sphere_volume(radius, level=level))


def edge_uses(surface: Surface) -> tuple[F64, F64]:
    """How often each undirected edge is used, and the sum of its directions (0 when balanced)."""
    tri = surface.triangles.astype(np.int64)
    edges = np.concatenate([tri[:, [0, 1]], tri[:, [1, 2]], tri[:, [2, 0]]])
    sign = np.where(edges[:, 0] < edges[:, 1], 1.0, -1.0)
    low, high = edges.min(axis=1), edges.max(axis=1)
    _, number = np.unique(low * len(surface.vertices) + high, return_inverse=True)
    uses = np.bincount(number).astype(np.float64)
    return uses, np.bincount(number, sign).astype(np.float64)


def as_trimesh(surface: Surface) -> trimesh.Trimesh:
    """The surface in a right-handed frame: crop coordinates with y and z turned around."""
    return trimesh.Trimesh(
        surface.vertices * np.array([1, -1, -1], np.float32), surface.triangles, process=False
    )


def seeded(seed: int) -> np.random.Generator:
    """A generator of its own for each test."""
    return np.random.default_rng(seed)


def radii(surface: Surface, centre: tuple[float, float, float] = CENTRE) -> F64:
    """Distance of each vertex from ``centre``."""
    return np.asarray(np.linalg.norm(surface.vertices - np.array(centre), axis=1), np.float64)


def facet_normals(vertices: F32, triangles: U32) -> F32:
    """Area-weighted mean of the facets' normals at each vertex, unit length."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    sums = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(sums, triangles[:, i], np.cross(b - a, c - a))
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)
