"""Know the atlas' cells: the region of the head that each is in, and the direction it faces."""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8
from protome.mesh.shape.head import Head, Region
from protome.mesh.shape.surface import Surface

from .atlas import CELLS, SHARE, directions, in_layout, middles
from .fill import DARK, EYES, HAIR, LIPS, NECK, SKIN
from .painter import painter

# The group of each :class:`Region`.
GROUPS: Final = np.array([SKIN, LIPS, EYES, DARK, DARK, SKIN, HAIR, NECK, SKIN])
# Cells along each side that share one direction, before it is interpolated; the painter's.
COARSE: Final = 2
# Shares of the layout's side; its vertices lie less than twice that apart.
FAR: Final = 1 / 32


@functools.lru_cache(maxsize=4)
def regions(head: Head, hairy: bool) -> U8:
    """Return the group of each cell, (CELLS, CELLS) uint8."""
    vertex = np.zeros(len(head.uv), np.intp)
    vertex[head.uv_triangles.ravel()] = head.triangles.ravel()
    nearest = _nearest(head, in_layout(hairy))
    region = head.region[vertex[nearest]]
    groups = GROUPS[region]
    # Behind the jaw as well the photo may show what is not the head.
    unsure = np.isin(region, (Region.EAR, Region.BEHIND)) & (in_layout(hairy)[:, :, 1] > 0.5)
    groups[unsure] = NECK
    if hairy:
        groups[middles()[1] > SHARE] = HAIR
    return groups.astype(np.uint8)


def _nearest(head: Head, places: F32) -> npt.NDArray[np.intp]:
    """Return the number in the layout of the vertex nearest to each place.

    Args:
        head: the head.
        places: (rows, columns, 2), the middles of cells in the layout.
    """
    u, v = head.uv.T
    out = np.empty(places.shape[:2], np.intp)
    # Places far below the layout are in the hair's island.
    for row, found in zip(np.clip(places, -FAR, 1 + FAR), out, strict=True):
        for among in (np.flatnonzero(np.abs(v - row[0, 1]) <= 2 * FAR), np.arange(len(v))):
            if len(among):
                away = (row[:, :1] - u[among]) ** 2 + (row[:, 1:] - v[among]) ** 2
                found[:] = among[away.argmin(axis=1)]
                if away.min(axis=1).max() <= (2 * FAR) ** 2:
                    break
    return out


@functools.lru_cache(maxsize=4)
def mouth_cells(head: Head, hairy: bool) -> U8:
    """Return 1 for cells of lips and inner mouth and next to them, 0 elsewhere, (CELLS, CELLS)."""
    mouth = np.isin(regions(head, hairy), (LIPS, DARK)).astype(np.uint8)
    return np.asarray(cv2.dilate(mouth, np.ones((3, 3), np.uint8)), np.uint8)


def facing(surface: Surface, skull: tuple[F32, F32] | None) -> F32:
    """Return the direction that each cell of the atlas faces, (CELLS, CELLS, 3), about unit.

    On the head it is that of the posed head, in the hair the direction from the skull's middle.

    Args:
        surface: the posed head.
        skull: see :func:`skull_frame`; None if the atlas has no island of hair.
    """
    drawn = painter.facing(surface.posed, _triangles(surface.head, skull is not None))
    out = np.frombuffer(drawn, np.float32).reshape(CELLS, CELLS, 3)
    if skull is not None:
        where, towards = directions()
        _, axes = skull
        out[where] = (towards @ axes.T).reshape(-1, CELLS, 3)
    return out


@functools.lru_cache(maxsize=4)
def _triangles(head: Head, hairy: bool) -> npt.NDArray[np.int32]:
    """Return a triangle of the head near every ``COARSE``-th cell.

    Returns:
        (CELLS / COARSE, CELLS / COARSE, 3), numbers of its vertices.
    """
    any_of = np.zeros(len(head.uv), np.intp)
    any_of[head.uv_triangles.ravel()] = np.repeat(np.arange(len(head.uv_triangles)), 3)
    fewer = (CELLS // COARSE,) * 2
    places = cv2.resize(in_layout(hairy), fewer, interpolation=cv2.INTER_AREA)
    nearest = _nearest(head, np.asarray(places, np.float32))
    return np.ascontiguousarray(head.triangles[any_of[nearest]], np.int32)
