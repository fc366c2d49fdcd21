"""Render a mesh in software, in orthographic projection.

Every triangle that faces the camera is sampled densely, and each pixel takes its nearest sample.
This is slow compared to a GPU but needs no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8, U32

SUPERSAMPLE: Final = 2
BACKGROUND: Final = 250
CLAY: Final = np.array([232, 226, 216], np.float32)
# Direction towards each light in view coordinates, and its strength.
LIGHTS: Final = (((0.35, 0.55, 0.75), 0.72), ((-0.8, 0.1, 0.4), 0.25))
AMBIENT: Final = 0.28


@dataclass(frozen=True, slots=True)
class Model3D:
    """A mesh to draw.

    Attributes:
        positions: (n, 3) vertices, +Y up, +Z towards the viewer.
        normals: (n, 3) unit vectors of the vertices.
        triangles: (m, 3) indices of vertices, counter-clockwise from outside.
        uv: (n, 2) texture coordinates, origin at the top left; None without a texture.
        picture: (h, w, 3) uint8 RGB, the texture; None without one.
        colours: (n, 3) uint8 RGB of the vertices; None if there are none.
    """

    positions: F32
    normals: F32
    triangles: U32
    uv: F32 | None = None
    picture: U8 | None = None
    colours: U8 | None = None

    @property
    def coloured(self) -> bool:
        """Whether there is a texture, or there are colours."""
        return self.picture is not None or self.colours is not None


def render(
    model: Model3D, *, yaw: float = 0.0, pitch: float = 0.0, side: int = 384, coloured: bool = False
) -> U8:
    """Draw a mesh.

    Args:
        model: the mesh.
        yaw: rotation about +Y, degrees; positive turns the front to the right.
        pitch: rotation about +X, degrees; positive turns the front down.
        side: width and height of the picture, pixels.
        coloured: use the texture or colours, if there are any, instead of clay.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    size = side * SUPERSAMPLE
    turn = _rotation(yaw, pitch)
    centre = (model.positions.min(axis=0) + model.positions.max(axis=0)) / 2
    radius = float(np.linalg.norm(model.positions - centre, axis=1).max())
    scale = size / (2.05 * radius)
    points = (model.positions - centre) @ turn.T * scale
    normals = model.normals @ turn.T
    corners = points[model.triangles]
    towards = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    triangles = model.triangles[towards]
    spacing = np.abs(np.diff(points[triangles], axis=1)).max() if len(triangles) else 1.0
    weights = _barycentric(min(24, int(np.ceil(spacing)) + 2))
    spots = (weights @ points[triangles]).reshape(-1, 3)
    column = np.clip((spots[:, 0] + size / 2).astype(np.int64), 0, size - 1)
    row = np.clip((size / 2 - spots[:, 1]).astype(np.int64), 0, size - 1)
    pixel = row * size + column
    nearest = np.full(size * size, -np.inf, np.float32)
    np.maximum.at(nearest, pixel, spots[:, 2])
    won = np.flatnonzero(spots[:, 2] >= nearest[pixel])
    triangle, weight = won // len(weights), weights[won % len(weights)]
    shown = triangles[triangle]
    n = _mean(weight, normals[shown])
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)
    if coloured and model.uv is not None and model.picture is not None:
        colour = _lookup(model.picture, _mean(weight, model.uv[shown]))
    elif coloured and model.colours is not None:
        colour = _mean(weight, model.colours[shown].astype(np.float32))
    else:
        colour = _shade(n) * CLAY
    canvas = np.full((size * size, 3), BACKGROUND, np.float32)
    canvas[pixel[won]] = colour
    canvas = canvas.reshape(side, SUPERSAMPLE, side, SUPERSAMPLE, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(canvas, 0, 255), np.uint8)


def _rotation(yaw: float, pitch: float) -> npt.NDArray[np.float32]:
    y, p = np.radians(yaw), np.radians(pitch)
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return np.asarray(about_x @ about_y, np.float32)


def _barycentric(steps: int) -> F32:
    """Return weights (k, 3) of points spread evenly over a triangle."""
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.array(grid, np.float32) / np.float32(steps)


def _mean(weight: F32, corners: F32) -> F32:
    """Average what the corners of triangles have, (k, 3, d), by weights (k, 3)."""
    return np.asarray((weight[:, None] @ corners)[:, 0])


def _shade(normals: F32) -> F32:
    light = np.full(len(normals), AMBIENT, np.float32)
    for towards, strength in LIGHTS:
        direction = np.array(towards) / np.linalg.norm(towards)
        light += strength * np.clip(normals @ direction.astype(np.float32), 0, 1)
    return np.minimum(light, 1.0)[:, None]


def _lookup(picture: U8, uv: F32) -> F32:
    height, width = picture.shape[:2]
    x = np.clip((uv[:, 0] * width).astype(np.int64), 0, width - 1)
    y = np.clip((uv[:, 1] * height).astype(np.int64), 0, height - 1)
    return np.asarray(picture[y, x], np.float32)
