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
from .raster import EDGE

WHOLE: Final = Frame()


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    depth = painter.depth(surface.vertices, surface.triangles, CROP_SIDE)
    nearest = np.frombuffer(depth, np.float32).reshape(CROP_SIDE, CROP_SIDE)
    around = cv2.erode(nearest, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))
    inside = cv2.distanceTransform(np.isfinite(nearest).astype(np.uint8), cv2.DIST_L2, 3)
    seen = painter.seen(surface.vertices, surface.normals, nearest, around, inside, frame.sides())
    return np.frombuffer(seen, np.float32)
