"""Synthetic heads and surfaces whose geometry is known exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, F64, HAIR_SHAPE, U8, U32, Level
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface, compose

Point = tuple[float, float, float]
CENTRE: Point = (CROP_SIDE / 2, CROP_SIDE / 2, CROP_DEPTH / 2)


def balls(*wanted: tuple[float, Point], finer: int = 5) -> tuple[Head, F32]:
    """A head of balls that nothing but their volume joins, and its vertices, (N, 3).

    Args:
        wanted: radius and centre (x, y, z) of each in crop pixels.
        finer: divisions of an icosahedron: 5 makes 10,242 vertices a ball.
    """
    shape = trimesh.creation.icosphere(subdivisions=finer)
    count = len(shape.vertices)
    vertices = [radius * shape.vertices + centre for radius, centre in wanted]
    triangles = [shape.faces + count * index for index in range(len(wanted))]
    mirror = cKDTree(shape.vertices).query(shape.vertices * (-1, 1, 1))[1]
    # One below the other in the atlas.
    places = _on_square(shape.vertices)
    uv = [(places + np.array([0, k])) / (1, len(wanted)) for k in range(len(wanted))]
    head = replace(
        head_of(np.concatenate(triangles)),
        mirror=np.concatenate([mirror + count * index for index in range(len(wanted))]).astype(
            np.int32
        ),
        uv=np.concatenate(uv).astype(np.float32),
    )
    return head, np.concatenate(vertices).astype(np.float32)


def _on_square(directions: F64) -> F64:
    """Directions on the unit square: towards the camera in its middle, away at its border."""
    x, y, z = directions.T
    across = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-9)
    radius = np.arccos(np.clip(-z, -1, 1)) / np.pi / across
    return np.stack([0.5 + 0.5 * radius * x, 0.5 + 0.5 * radius * y], axis=1)


def head_of(triangles: np.ndarray) -> Head:
    """A head of these triangles without symmetry and regions, all of it open to hair."""
    count = int(triangles.max()) + 1
    return Head(
        triangles=np.ascontiguousarray(triangles, np.int32),
        mirror=np.arange(count, dtype=np.int32),
        region=np.zeros(count, np.uint8),
        uv=np.zeros((count, 2), np.float32),
        uv_triangles=np.ascontiguousarray(triangles, np.int32),
        guard=np.zeros(count, np.float32),
    )


def save_head(head: Head, path: Path) -> Path:
    """Write ``head.npz``."""
    np.savez(path, **{name: getattr(head, name) for name in head.__slots__})
    return path


def no_hair() -> U8:
    """An empty hair grid."""
    return np.zeros(HAIR_SHAPE, np.uint8)


def ball_surface(*wanted: tuple[float, Point], level: Level = Level.STANDARD) -> Surface:
    """The surface of a head of balls, as :func:`balls`."""
    return compose(*balls(*wanted), no_hair(), level)


def sphere(radius: float = 40.0, level: Level = Level.STANDARD) -> Surface:
    """The surface of a ball in the middle of the crop."""
    return ball_surface((radius, CENTRE), level=level)


def loose_surface(vertices: F32, normals: F32, triangles: U32) -> Surface:
    """A surface that lies on no head."""
    source = np.full(len(vertices), -1, np.int32)
    weights = np.zeros((len(vertices), 2), np.float32)
    return Surface(vertices, normals, triangles, source, weights, *balls((1.0, CENTRE), finer=1))


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
