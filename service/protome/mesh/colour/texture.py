"""Colour a surface from the photo of its head.

The texture is one atlas in the head's own layout (``atlas``). Each of its texels shows the point of
the photo that the surface's visible triangles lead to, unless the surface is not well visible
there (``visibility``); then it takes colours of the mirrored place or of its region (``fill``).
Only the inside of the head's outline is read from the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from protome.geometry import F32, U8, U32, Frame
from protome.mesh.shape.surface import Surface

from .atlas import CELLS, SHARE, STRIP, Unwrapped, unwrap
from .cells import facing, mouth_cells, regions
from .painter import painter
from .trace import NODES, trace
from .visibility import WHOLE

# Sides that a texture may have; powers of two, as some readers require.
SIDES: Final = (256, 512, 1024, 2048)
# Texels along a side for each of the portrait's pixels: the face has a part of the atlas only.
DENSITY: Final = 1.5
# Side of the texture that vertex colours are read from.
COLOURS: Final = 512


@dataclass(frozen=True, slots=True)
class Texture:
    """A picture and the position of each vertex in it.

    Attributes:
        picture: (side, side, 3) uint8 RGB.
        uv: (n, 2) float32, glTF convention: (0, 0) top left, 1 across.
        source: (n,) uint32, index of the surface's vertex that each textured vertex comes from;
            vertices on a seam occur twice.
        triangles: (m, 3) uint32 into the textured vertices.
    """

    picture: U8
    uv: F32
    source: U32
    triangles: U32


def side_for(portrait: int, most: int = SIDES[-1]) -> int:
    """Return the side of the texture that keeps what a portrait of this side shows.

    Args:
        portrait: side of the portrait in pixels.
        most: side to which the texture will be reduced if it is larger; 0: it will not be.
    """
    enough = min(DENSITY * portrait, most or SIDES[-1])
    return next((side for side in SIDES if side >= enough), SIDES[-1])


def texture(surface: Surface, crop: U8, frame: Frame = WHOLE, side: int = 0) -> Texture:
    """Make a texture for the surface from the photo.

    Args:
        surface: in crop coordinates.
        crop: (s, s, 3) uint8 RGB, the crop at any resolution.
        frame: the part of the crop that the photo covers.
        side: of the picture, one of ``SIDES``; 0: :func:`side_for` the crop.
    """
    side = side or side_for(len(crop))
    layout = unwrap(surface)
    traced = trace(surface, layout, frame)
    photo = _pixels(_not_finer(crop, 2 * side))
    sums = np.frombuffer(painter.gather(traced, _reduced(photo), CELLS), np.float32)
    planned = _planned(sums.reshape(CELLS, CELLS, 4), surface, layout)
    picture = np.empty((side, side, 3), np.uint8)
    painter.blend(traced, planned, photo, picture)
    return Texture(picture, layout.places, layout.source, layout.triangles)


def vertex_colours(surface: Surface, crop: U8, frame: Frame = WHOLE) -> U8:
    """Return a colour for each vertex, (n, 3) uint8 sRGB; arguments as :func:`texture`."""
    made = texture(surface, _not_finer(crop, COLOURS), frame, COLOURS)
    x, y = np.minimum((made.uv * COLOURS).T.astype(np.int32), COLOURS - 1)
    colours = np.empty((len(surface.vertices), 3), np.uint8)
    colours[made.source] = made.picture[y, x]
    return colours


def _planned(sums: F32, surface: Surface, layout: Unwrapped) -> F32:
    """Return the plan of the atlas, (CELLS, CELLS, 8)."""
    planned = painter.plan(
        sums,
        regions(surface.head, layout.hairy),
        mouth_cells(surface.head, layout.hairy),
        facing(surface, layout.skull),
        int(CELLS * SHARE) if layout.hairy else CELLS,
        int(CELLS * STRIP),
    )
    return np.frombuffer(planned, np.float32).reshape(CELLS, CELLS, -1)


def _pixels(crop: U8) -> U32:
    """Return a number for each pixel, as the painter takes them."""
    return np.frombuffer(painter.pixels(crop), np.uint32).reshape(crop.shape[:2])


def _reduced(photo: U32) -> U32:
    """Return the photo halved until it has less than two pixels for each node."""
    while len(photo) >= 2 * NODES:
        half = len(photo) // 2
        photo = np.frombuffer(painter.halve(photo), np.uint32).reshape(half, half)
    return photo


def _not_finer(crop: U8, side: int) -> U8:
    """Return the crop with at most ``side`` pixels a side, and at least 2."""
    if 2 <= len(crop) <= side:
        return np.ascontiguousarray(crop)
    side = max(min(len(crop), side), 2)
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
