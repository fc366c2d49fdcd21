"""Determine which points of a surface are visible in the photo.

A point is visible if no part of the head lies between it and the camera, its normal is not turned
too far away, and it lies within the photo. Other occluders, such as a hand, are unknown. Colours
are to be taken from well within the head's outline, because the outline is never exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from protome.geometry import CROP_SIDE, F32, Frame
from protome.mesh.shape.surface import Surface

from .painter import painter
from .raster import EDGE

WHOLE: Final = Frame()


@dataclass(frozen=True, slots=True)
class Sight:
    """What hides points of a surface from the camera: maps of (CROP_SIDE, CROP_SIDE) float32.

    Attributes:
        head: least z of the head's own surface, infinite where there is none.
        hair: likewise, of hair.
        around: least z of both within ``EDGE`` pixels.
        inside: distance to the outline, pixels; 0 outside.
        sides: see :meth:`Frame.sides`.
    """

    head: F32
    hair: F32
    around: F32
    inside: F32
    sides: F32

    def of_surface(self, vertices: F32, normals: F32) -> F32:
        """Return how well vertices of the surface are visible, (n,) float32, 0 to 1."""
        return self._seen(vertices, normals, np.minimum(self.head, self.hair))

    def of_skin(self, vertices: F32, normals: F32) -> F32:
        """Return how well vertices of the posed head are visible, likewise: not under hair."""
        bare = np.where(self.hair < self.head, np.float32(-np.inf), self.head)
        return self._seen(vertices, normals, bare)

    def _seen(self, vertices: F32, normals: F32, nearest: F32) -> F32:
        seen = painter.seen(vertices, normals, nearest, self.around, self.inside, self.sides)
        return np.frombuffer(seen, np.float32)


def sight(surface: Surface, frame: Frame = WHOLE) -> Sight:
    """Find what hides points of a surface; arguments as :func:`visibility`."""
    maps = painter.depth(surface.vertices, surface.source, surface.triangles, CROP_SIDE)
    head, hair = np.frombuffer(maps, np.float32).reshape(2, CROP_SIDE, CROP_SIDE)
    nearest = np.minimum(head, hair)
    around = np.asarray(cv2.erode(nearest, np.ones((2 * EDGE + 1,) * 2, np.uint8)), np.float32)
    inside = cv2.distanceTransform(np.isfinite(nearest).astype(np.uint8), cv2.DIST_L2, 3)
    return Sight(head, hair, around, np.asarray(inside, np.float32), frame.sides())


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    return sight(surface, frame).of_surface(surface.vertices, surface.normals)
