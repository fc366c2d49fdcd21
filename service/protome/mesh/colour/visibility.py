"""Determine which points of a surface are visible in the photo.

A point is visible if no part of the head lies between it and the camera, its normal is not turned
too far away, and it lies within the photo. Other occluders, such as a hand, are unknown. Colours
are to be taken from well within the head's outline, because the outline is never exact.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.geometry import CROP_SIDE, F32, U32, Frame
from protome.mesh.shape.surface import Surface

from .painter import painter

WHOLE: Final = Frame()


@dataclass(frozen=True, slots=True)
class Sight:
    """What hides points of a surface from the camera: maps of (CROP_SIDE, CROP_SIDE) float32.

    Attributes:
        maps: least z of the head's own surface and of hair, infinite where there is none.
        around: least z of both within two pixels.
        inside: distance to the outline, pixels, exact up to 3; 0 outside.
        sides: see :meth:`Frame.sides`.
    """

    maps: F32
    around: F32
    inside: F32
    sides: F32

    def of_surface(self, vertices: F32, normals: F32, which: U32) -> F32:
        """Return what some of a surface's vertices show of the photo.

        Args:
            vertices: (n, 3) float32, in crop coordinates.
            normals: (n, 3) float32.
            which: (k,) uint32, index of the vertices.

        Returns:
            (k, 3) float32, shares of the crop's sides, -1 to 2, and how well each is visible, 0
            to 1.
        """
        return self._seen(vertices, normals, which, bare=False)

    def of_skin(self, vertices: F32, normals: F32) -> F32:
        """Return what vertices of the posed head show, (n, 3), likewise: nothing under hair."""
        return self._seen(vertices, normals, _all(len(vertices)), bare=True)

    def _seen(self, vertices: F32, normals: F32, which: U32, bare: bool) -> F32:
        seen = painter.seen(
            vertices, normals, which, self.maps, self.around, self.inside, self.sides, bare
        )
        return np.frombuffer(seen, np.float32).reshape(-1, 3)


@functools.lru_cache(maxsize=4)
def _all(count: int) -> U32:
    return np.arange(count, dtype=np.uint32)


def sight(surface: Surface, frame: Frame = WHOLE) -> Sight:
    """Find what hides points of a surface; arguments as :func:`visibility`."""
    drawn = painter.depth(surface.vertices, surface.source, surface.triangles, CROP_SIDE)
    maps = np.frombuffer(drawn, np.float32).reshape(2, CROP_SIDE, CROP_SIDE)
    around, inside = (np.frombuffer(part, np.float32) for part in painter.outline(maps))
    shape = CROP_SIDE, CROP_SIDE
    return Sight(maps, around.reshape(shape), inside.reshape(shape), frame.sides())


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    every = _all(len(surface.vertices))
    return sight(surface, frame).of_surface(surface.vertices, surface.normals, every)[:, 2]
