"""Rasterise on the CPU (numba): G-buffer, depth, normals, solid occupancy."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

_NO_IDS = np.zeros((0, 0), np.int32)
_NO_BARY = np.zeros((0, 0, 2), np.float32)

_jit = nb.njit(cache=True, nogil=True, fastmath=False)
NOTHING = -1e9  # depth where nothing is drawn


@_jit
def _draw(
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    drawn: NDArray[np.bool_],
    depth: NDArray[np.float32],
    ids: NDArray[np.int32],
    bary: NDArray[np.float32],
    alpha: NDArray[np.float32],
    vertex_uv: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    height, width = depth.shape
    rows, columns = alpha.shape
    for t in range(triangles.shape[0]):
        if not drawn[t]:
            continue
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, z0 = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x1, y1, z1 = vertices[j, 0], vertices[j, 1], vertices[j, 2]
        x2, y2, z2 = vertices[k, 0], vertices[k, 1], vertices[k, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        xa = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
        xb = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
        ya = max(0, int(np.ceil(min(y0, y1, y2) - 0.5)))
        yb = min(height - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
        inverse = 1.0 / area
        tested = first <= t < last
        for y in range(ya, yb + 1):
            py = y + 0.5
            for x in range(xa, xb + 1):
                px = x + 0.5
                w1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inverse
                w2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inverse
                w0 = 1 - w1 - w2
                if w0 >= 0 and w1 >= 0 and w2 >= 0:
                    z = w0 * z0 + w1 * z1 + w2 * z2
                    if z > depth[y, x]:
                        if tested:
                            u = w0 * vertex_uv[i, 0] + w1 * vertex_uv[j, 0] + w2 * vertex_uv[k, 0]
                            v = w0 * vertex_uv[i, 1] + w1 * vertex_uv[j, 1] + w2 * vertex_uv[k, 1]
                            r = min(rows - 1, max(0, int(v * rows)))
                            c = min(columns - 1, max(0, int(u * columns)))
                            if alpha[r, c] <= 0:
                                continue
                        depth[y, x] = z
                        if ids.size > 0:
                            ids[y, x] = t
                            bary[y, x, 0] = w0
                            bary[y, x, 1] = w1


@dataclass(frozen=True)
class Cutout:
    """Transparency of triangles ``first`` to ``last - 1``.

    They show only where ``alpha`` (A, B) at their vertices' ``uv`` (V, 2) is positive.
    """

    alpha: NDArray[np.float32]
    uv: NDArray[np.float32]
    first: int
    last: int


SOLID = Cutout(np.zeros((0, 0), np.float32), np.zeros((1, 2), np.float32), 0, 0)


def gbuffer(
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    size: int,
    drawn: NDArray[np.bool_] | None = None,
    cutout: Cutout = SOLID,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Draw the nearest triangle (largest z) per pixel.

    Args:
        vertices: (V, 3) px, x right, y down, z towards the camera.
        triangles: (T, 3).
        size: S, px per side.
        drawn: (T,) which triangles to draw; None draws all.
        cutout: transparent triangles.

    Returns:
        depth (S, S); ids (S, S), -1 if there is no triangle; bary (S, S, 2).
    """
    depth = np.full((size, size), NOTHING, np.float32)
    ids = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 2), np.float32)
    some = np.ones(len(triangles), np.bool_) if drawn is None else drawn
    c = cutout
    _draw(vertices, triangles, some, depth, ids, bary, c.alpha, c.uv, c.first, c.last)
    return depth, ids, bary


def depth_map(
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    size: int,
    drawn: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the largest z per pixel, (S, S), of the drawn triangles; for shadow maps."""
    depth = np.full((size, size), NOTHING, np.float32)
    some = np.ones(len(triangles), np.bool_) if drawn is None else drawn
    _draw(vertices, triangles, some, depth, _NO_IDS, _NO_BARY, SOLID.alpha, SOLID.uv, 0, 0)
    return depth


@_jit
def vertex_normals(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return area-weighted unit normals, (V, 3)."""
    n = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for q in (i, j, k):
            n[q, 0] += cx
            n[q, 1] += cy
            n[q, 2] += cz
    for i in range(vertices.shape[0]):
        length = np.sqrt(n[i, 0] ** 2 + n[i, 1] ** 2 + n[i, 2] ** 2) + 1e-12
        n[i, 0] /= length
        n[i, 1] /= length
        n[i, 2] /= length
    return n
