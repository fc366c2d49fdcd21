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
        around: least z within two pixels, likewise.
        inside: distance to the outline, pixels, exact up to 3.8; 0 outside; one map.
        sides: see :meth:`Frame.sides`.
    """

    maps: F32
    around: F32
    inside: F32
    sides: F32

    def of_surface(self, vertices: F32, normals: F32, which: U32, hair: bool) -> F32:
        """Return what some of a surface's vertices show of the photo.

        Args:
            vertices: (n, 3) float32, in crop coordinates.
            normals: (n, 3) float32.
            which: (k,) uint32, index of the vertices.
            hair: whether they are on hair, whose outline is more exact.

        Returns:
            (k, 3) float32, shares of the crop's sides, -1 to 2, and how well each is visible, 0
            to 1.
        """
        return self._seen(vertices, normals, which, bare=not hair)

    def of_skin(self, vertices: F32, normals: F32) -> F32:
        """Return what vertices of the posed head show, (n, 3), likewise.

        Where hair ends is not exact, so skin under a little of it shows the hair of the photo.
        """
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
    return Sight(maps, around.reshape(maps.shape), inside.reshape(maps.shape[1:]), frame.sides())


def visibility(surface: Surface, frame: Frame = WHOLE) -> F32:
    """Return how well each vertex is visible in the photo, (n,) float32, 0 to 1.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
    """
    maps, out = sight(surface, frame), np.empty(len(surface.vertices), np.float32)
    for hair in (True, False):
        which = np.flatnonzero((surface.source < 0) == hair).astype(np.uint32)
        out[which] = maps.of_surface(surface.vertices, surface.normals, which, hair)[:, 2]
    return out
