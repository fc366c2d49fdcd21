"""Lay a surface out in the atlas: where each of its vertices lies in the picture.

The atlas has two islands. What lies on the head's skin has its place in the head's own layout,
``Head.uv``: a square whose border is the seam at the back of the head. What lies on hair has its
place below, in a disk that shows the directions from the middle of the skull, the hair's front in
its middle, larger than the rest, and the face's side at the bottom (an azimuthal projection).
Without hair the head has the whole picture.

Both islands are their own mirror images, so the other side of the head is the picture flipped.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.geometry import F32, U32
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface

from .painter import painter

# Cells that the atlas is planned in, along each side.
CELLS: Final = 64
# Width of the strips around the head's island that repeat what is across the seam, and the part of
# the height that the island has when there is hair, both shares of the atlas' side.
STRIP: Final = 1 / 64
SHARE: Final = 32 / 64
# Angle, radians, between the middle and the rim of the hair's disk, the disk's radii, and how far
# its middle lies before the crown, radians: its rim is the direction of the neck. A radian takes
# 1 + GROWTH times as much of the radius in the middle as on average: photos show the front.
REACH: Final = np.radians(165.0)
TILT: Final = np.radians(40.0)
GROWTH: Final = 2.0
RADII: Final = (0.5 - STRIP, (1 - SHARE - 3 * STRIP) / 2)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A surface in the atlas.

    Attributes:
        places: (k, 2) float32, position in the atlas, (0, 0) top left, 1 across.
        source: (k,) uint32, index of the surface's vertex; those on a seam occur twice.
        triangles: (m, 3) uint32 into ``places``, in the surface's order.
        in_hair: index of the first place in the hair's island; those before are on the head's.
        skull: see :func:`skull_frame`; None if the atlas has no island of hair.
    """

    places: F32
    source: U32
    triangles: U32
    in_hair: int
    skull: tuple[F32, F32] | None

    @property
    def hairy(self) -> bool:
        """Whether the atlas has the hair's island."""
        return self.skull is not None


def unwrap(surface: Surface) -> Unwrapped:
    """Lay a surface out in the atlas.

    Args:
        surface: in crop coordinates.
    """
    places_, source, triangles_, in_hair, hairy = painter.lay_out(
        _corners(surface.head), surface.source, surface.weights, surface.triangles, STRIP, SHARE
    )
    places = np.frombuffer(places_, np.float32).reshape(-1, 2)
    vertices = np.frombuffer(source, np.uint32)
    triangles = np.frombuffer(triangles_, np.uint32).reshape(-1, 3)
    if not hairy:
        return Unwrapped(places, vertices, triangles, in_hair, None)
    skull = skull_frame(surface.head, surface.posed)
    places[in_hair:] = _in_disk(surface, vertices[in_hair:], skull)
    return Unwrapped(places, vertices, triangles, in_hair, skull)


@functools.lru_cache(maxsize=4)
def _corners(head: Head) -> F32:
    """Return one corner of each triangle in the layout and the edges to the others, (T, 3, 2)."""
    first, second, third = (head.uv[head.uv_triangles[:, k]] for k in range(3))
    return np.ascontiguousarray(np.stack([first, second - first, third - first], axis=1))


def _in_disk(surface: Surface, which: U32, skull: tuple[F32, F32]) -> F32:
    middle, axes = skull
    frame = np.ascontiguousarray(np.concatenate([middle[None], (axes @ _tilt()).T]))
    places = painter.disk(surface.vertices, which, frame, REACH, GROWTH, *RADII, (1 + SHARE) / 2)
    return np.frombuffer(places, np.float32).reshape(-1, 2)


def _tilt() -> F32:
    """Return the disk's axes in the skull's frame, as columns."""
    cos, sin = np.cos(TILT), np.sin(TILT)
    return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)


def middles() -> tuple[F32, F32]:
    """Return the middles of the cells in the atlas, x and y, (CELLS, CELLS)."""
    y, x = (np.indices((CELLS, CELLS), np.float32) + np.float32(0.5)) / np.float32(CELLS)
    return x, y


def in_layout(hairy: bool) -> F32:
    """Return the middles of the cells in the head's layout, (CELLS, CELLS, 2)."""
    x, y = middles()
    height = SHARE if hairy else 1.0
    return np.stack([(x - STRIP) / (1 - 2 * STRIP), (y - STRIP) / (height - 2 * STRIP)], axis=2)


@functools.cache
def directions() -> tuple[slice, F32]:
    """Return the rows of cells in the hair's island, and the directions of their cells.

    The directions are those from the skull's middle, unit vectors in its frame, (c, 3).
    """
    x, y = middles()
    rows = slice(int(CELLS * SHARE), None)
    x, z = (x[rows].ravel() - 0.5) / RADII[0], ((1 + SHARE) / 2 - y[rows].ravel()) / RADII[1]
    radius = np.hypot(x, z)
    angle = np.minimum(radius, 1) / (1 + GROWTH - GROWTH * np.minimum(radius, 1)) * REACH
    out = np.stack([np.sin(angle) * x, np.cos(angle) * radius, np.sin(angle) * z], axis=1)
    return rows, np.asarray(out / np.maximum(radius, 1e-6)[:, None] @ _tilt().T, np.float32)


def skull_frame(head: Head, posed: F32) -> tuple[F32, F32]:
    """Return the middle of the posed skull, (3,), and its axes: to its left, up, back, as columns.

    The axes follow from the layout: its middle is the middle of the face, its top the crown.
    """
    middle, aside, up, back = _averages(head) @ posed
    aside = _unit(aside)
    up = _unit(up - (up @ aside) * aside)
    back = _unit(back - (back @ aside) * aside - (back @ up) * up)
    return middle, np.stack([aside, up, back], axis=1)


@functools.lru_cache(maxsize=4)
def _averages(head: Head) -> F32:
    """Return the weights of the posed vertices in the skull's middle and its rough axes, (4, n)."""
    n = len(head.mirror)
    u, v = head.uv[:n].T
    upper, lower, front = v < np.quantile(v, 0.3), v > np.quantile(v, 0.7), np.abs(u - 0.5) < 0.25
    side = np.sign(u - 0.5)
    across = side.copy()
    np.subtract.at(across, head.mirror, side)
    crown = upper / max(upper.sum(), 1)
    up = crown - lower / max(lower.sum(), 1)
    back = ~front / max((~front).sum(), 1) - front / max(front.sum(), 1)
    return np.stack([crown, across, up, back]).astype(np.float32)


def _unit(vector: F32) -> F32:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
