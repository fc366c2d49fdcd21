"""Determine which points of a surface are visible in the photo.

A point is visible if no part of the head lies between it and the camera, its normal is not turned
too far away, and it lies within the photo. Other occluders, such as a hand, are unknown. Colours
are to be taken from well within the head's outline, because the outline is never exact.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from protome.geometry import CROP_SIDE, F32, Frame
from protome.mesh.shape.surface import Surface

from .painter import painter

# Cosine of the angle between normal and camera direction: below OBLIQUE the photo is not used,
# above FACING it is used alone.
OBLIQUE: Final = 0.15
FACING: Final = 0.5
# Depth tolerance of the visibility test, crop pixels, and what lies so much nearer within EDGE
# pixels hides a point as well, because pixels at an outline mix both.
SLACK: Final = 3.0
EDGE: Final = 2
# Width of the strip along the photo's border that is not used, and of the next strip, over which
# visibility rises to full, crop pixels.
RIM: Final = 2.0
# The same along the head's outline.
OUTLINE: Final = 1.5
WHOLE: Final = Frame()


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    facing = -surface.normals[:, 2]
    out = np.zeros(len(facing), np.float32)
    towards = np.flatnonzero(facing > OBLIQUE)
    facing, points = facing[towards], surface.vertices[towards]
    depth = painter.depth(surface.vertices, surface.triangles, CROP_SIDE)
    nearest = np.frombuffer(depth, np.float32).reshape(CROP_SIDE, CROP_SIDE)
    around = cv2.erode(nearest, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))
    inside = cv2.distanceTransform(np.isfinite(nearest).astype(np.uint8), cv2.DIST_L2, 3)
    x, y = np.clip(points[:, :2].T.astype(np.int32), 0, CROP_SIDE - 1)
    spot = y * CROP_SIDE + x
    z = points[:, 2]
    # A steep surface spans this much depth within a pixel.
    slope = np.sqrt(1 - np.minimum(facing, 1) ** 2) / facing
    shown = z - nearest.take(spot) <= SLACK + 1.5 * slope
    shown &= z - around.take(spot) <= 3 * SLACK + (EDGE + 2) * slope
    weight = np.minimum((facing - OBLIQUE) / (FACING - OBLIQUE), 1)
    weight *= np.clip(inside.take(spot) / OUTLINE - 1, 0, 1)
    weight *= np.clip(frame.inside(points) / RIM - 1, 0, 1)
    out[towards] = shown * weight
    return out
