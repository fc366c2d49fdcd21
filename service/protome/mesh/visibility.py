"""Determine which points of a surface are visible in the photo.

A point is visible if no part of the head lies between it and the camera, its normal is not turned
too far away, and it lies within the photo. Other occluders, such as a hand or hair, are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from protome.geometry import CROP_SIDE, F32, U32, Frame

from .surface import Surface

# Cosine of the angle between normal and camera direction: below OBLIQUE the photo is not used,
# above FACING it is used alone. OBLIQUE is above 0 because pixels at the outline mix in background.
OBLIQUE: Final = 0.15
FACING: Final = 0.45
# Depth tolerance of the visibility test, crop pixels.
SLACK: Final = 4.0
# Width of the strip along the photo's border that is not used, and of the next strip, over which
# visibility rises to full, crop pixels.
RIM: Final = 2.0
WHOLE: Final = Frame()
# Cells along each side of the depth map, and the side of one, crop pixels.
CELL: Final = 2.0
CELLS: Final = int(CROP_SIDE / CELL)
# Triangles with longer edges, crop pixels, may leave cells between their corners empty.
LONG: Final = 1.5 * CELL


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    inside = frame.inside(surface.vertices)
    spot = _cell(surface.vertices)
    nearest = _depth_map(surface)
    # A cell may miss the front of the surface where it is steep; so test the neighbours too.
    around = cv2.erode(nearest.reshape(CELLS, CELLS), np.ones((3, 3), np.uint8))
    near = np.asarray(around).ravel()
    facing = -surface.normals[:, 2]
    # A steep surface spans this much depth within a cell.
    slope = np.sqrt(np.maximum(1 - facing**2, 0)) / np.maximum(facing, OBLIQUE)
    depth = surface.vertices[:, 2]
    hidden = depth - nearest[spot] > SLACK + 3 * slope
    hidden |= depth - near[spot] > 4 * SLACK + 6 * slope
    weight = _smooth(np.clip((facing - OBLIQUE) / (FACING - OBLIQUE), 0, 1), surface.triangles)
    weight *= np.clip(inside / RIM - 1, 0, 1)
    return np.where(hidden, 0, weight).astype(np.float32)


def _cell(points: F32) -> npt.NDArray[np.int64]:
    """Return the index of the depth map's cell that each point, (n, 3), lies in."""
    cell = np.clip((points[:, :2] / CELL).astype(np.int64), 0, CELLS - 1)
    return cell[:, 1] * CELLS + cell[:, 0]


def _depth_map(surface: Surface) -> F32:
    """Return the least depth of the surface in each cell, infinite where there is no surface."""
    nearest = np.full(CELLS * CELLS, np.inf, np.float32)
    for points in (surface.vertices, *_between(surface)):
        np.minimum.at(nearest, _cell(points), points[:, 2])
    return nearest


def _between(surface: Surface) -> Iterator[F32]:
    """Yield points on the large triangles, at most one cell apart, (n, 3) each time."""
    corners = surface.triangles.T.astype(np.intp)
    x, y = (surface.vertices[:, axis].take(corners) for axis in (0, 1))
    square = (x - x[[1, 2, 0]]) ** 2 + (y - y[[1, 2, 0]]) ** 2
    longest = square.max(axis=0)
    large = np.flatnonzero(longest > LONG**2)
    pieces = np.ceil(np.sqrt(longest[large]) / CELL).astype(np.int64)
    for count in np.unique(pieces).tolist():
        i, j = np.indices((count + 1, count + 1)).reshape(2, -1) / count
        weights = np.stack([1 - i - j, i, j], axis=1)[i + j < 1 + 1e-9].astype(np.float32)
        chosen = surface.triangles[large[pieces == count]]
        yield (weights @ surface.vertices[chosen]).reshape(-1, 3)


def _smooth(values: F32, triangles: U32, rounds: int = 3) -> F32:
    """Average the values of neighbouring vertices, so that small ripples are not an outline."""
    corners = triangles.T.astype(np.intp)
    flat = corners.ravel()
    degree = np.maximum(np.bincount(flat, minlength=len(values)), 1)
    for _ in range(rounds):
        around = np.tile(values.take(corners).sum(axis=0) / 3, 3)
        values = (np.bincount(flat, around, len(values)) / degree).astype(np.float32)
    return values
