"""Surfaces of occupancy volumes, and pictures of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .geometry import CROP
from .headmodel import Floats
from .raster import gbuffer, vertex_normals


def extract(occupancy: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.int32]]:
    """Marching cubes of (100, 96, 96) at 127.5: vertices (V, 3) in the crop frame and triangles;
    the volume is closed with empty space all around. Empty arrays where nothing is inside."""
    from skimage.measure import marching_cubes

    if occupancy.max(initial=0) < 128:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    padded = np.pad(occupancy, 1).astype(np.float32)
    v, t, _, _ = marching_cubes(padded, 127.5)  # type: ignore[no-untyped-call,unused-ignore]
    z, y, x = (v - 1).T
    crop = np.stack([2 * x + 1, 2 * y + 1, z + 0.5], 1)
    return crop.astype(np.float32), t.astype(np.int32)


def picture(
    vertices: np.ndarray, triangles: NDArray[np.int32], yaw: float = 0.0, size: int = CROP
) -> NDArray[np.uint8]:
    """Grey render (size, size, 3) of a crop-frame mesh, turned by yaw degrees; white outside."""
    image = np.full((size, size, 3), 255, np.uint8)
    if not len(triangles):
        return image
    k = size / CROP
    p = (vertices - [96, 100, 45]) * [1, 1, -1]
    a = np.deg2rad(yaw)
    p = p @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    shown = (p * k + [96 * k, 100 * k, 0]).astype(np.float32)
    depth, ids = np.full((size, size), -1e9, np.float32), np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 2), np.float32)
    none, uv = np.zeros((0, 0), np.float32), np.zeros((1, 2), np.float32)
    gbuffer(shown, triangles, 0, depth, ids, bary, none, uv)
    normals = vertex_normals(np.ascontiguousarray(p, np.float32), triangles)
    w = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)[..., None]
    n = (normals[triangles[ids.clip(0)]] * w).sum(2)
    n /= np.linalg.norm(n, axis=-1, keepdims=True) + 1e-6
    if n[..., 2][ids >= 0].mean() < 0:
        n = -n
    light = 0.25 + 0.75 * np.clip(n @ np.array([0.35, -0.45, 0.82]), 0, 1)
    image[ids >= 0] = (235 * light[ids >= 0, None]).astype(np.uint8)
    return image
