"""Lay a surface out in the atlas: where each of its vertices lies in the picture.

The atlas has two islands. What lies on the head's skin has its place in the head's own layout,
``Head.uv``: a square whose border is the seam at the back of the head. What lies on hair has its
place below, in a disk that shows the directions from the middle of the skull, the hair's front in
its middle and the face's side at the bottom (azimuthal equidistant projection). Without hair the
head has the whole picture.

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

# Width of the strips around the head's island that repeat what is across the seam, and the part of
# the height that the island has when there is hair, both shares of the atlas' side.
STRIP: Final = 1 / 64
SHARE: Final = 32 / 64
# Angle, radians, between the middle and the rim of the hair's disk, the disk's radii, and how far
# its middle lies before the crown, radians: its rim is the direction of the neck.
REACH: Final = np.radians(165.0)
TILT: Final = np.radians(25.0)
RADII: Final = (0.5 - STRIP, (1 - SHARE - STRIP) / 2)
# Triangles with corners in both halves are across the seam if they are longer than this, or lie
# this near to the square's upper or lower side.
LONG: Final = 0.5
NEAR: Final = 0.06


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A surface in the atlas.

    Attributes:
        places: (k, 2) float32, position in the atlas, (0, 0) top left, 1 across.
        source: (k,) uint32, index of the surface's vertex; those on a seam occur twice.
        triangles: (m, 3) uint32 into ``places``, in the surface's order.
        hairy: whether the atlas has the hair's island.
    """

    places: F32
    source: U32
    triangles: U32
    hairy: bool


def unwrap(surface: Surface) -> Unwrapped:
    """Lay a surface out in the atlas.

    Args:
        surface: in crop coordinates.
    """
    n = len(surface.vertices)
    triangles = surface.triangles.astype(np.intp)
    of_hair = surface.source < 0
    hairy = bool(of_hair.any())
    uv = _on_head(surface)
    # Each vertex has up to three places: on the head, beyond the seam, in the hair.
    number = triangles.copy()
    across = _across(uv, triangles)
    number[across] += n * (uv[:, 0].take(triangles[across]) >= 0.5)
    if hairy:
        first, second, third = (of_hair.take(triangles[:, k]) for k in range(3))
        hair = np.flatnonzero(first | second | third)
        number[hair] = triangles[hair] + 2 * n
    used = np.zeros(3 * n, np.bool_)
    used[number.ravel()] = True
    kept = np.flatnonzero(used)
    order = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    source = kept % n
    beyond, in_hair = np.searchsorted(kept, (n, 2 * n))
    places = uv[source]
    places[beyond:in_hair] = _beyond_seam(places[beyond:in_hair])
    height = SHARE if hairy else 1.0
    places *= np.array([1 - 2 * STRIP, height - 2 * STRIP], np.float32)
    places += np.float32(STRIP)
    np.clip(places[:, 0], 0, 1, out=places[:, 0])
    np.clip(places[:, 1], 0, height, out=places[:, 1])
    if hairy:
        places[in_hair:] = _in_disk(surface, source[in_hair:])
    return Unwrapped(places, source.astype(np.uint32), order.take(number), hairy)


@functools.lru_cache(maxsize=4)
def _corners(head: Head) -> F32:
    """Return one corner of each triangle in the layout and the edges to the others, (T, 3, 2)."""
    first, second, third = (head.uv[head.uv_triangles[:, k]] for k in range(3))
    return np.ascontiguousarray(np.stack([first, second - first, third - first], axis=1))


def _on_head(surface: Surface) -> F32:
    """Return each vertex's place in the head's layout, (n, 2); any on hair."""
    corner = _corners(surface.head).take(np.maximum(surface.source, 0), axis=0)
    uv = corner[:, 0].copy()
    uv += surface.weights[:, :1] * corner[:, 1]
    uv += surface.weights[:, 1:] * corner[:, 2]
    return np.asarray(uv, np.float32)


def _across(uv: F32, triangles: np.ndarray) -> np.ndarray:
    """Return the triangles with corners on both sides of the seam, as indices."""
    left = (uv[:, 0] < 0.5).astype(np.int8)
    count = left.take(triangles[:, 0]) + left.take(triangles[:, 1]) + left.take(triangles[:, 2])
    mixed = np.flatnonzero((count == 1) | (count == 2))
    u, v = (uv[:, k].take(triangles[mixed]) for k in (0, 1))
    near = (np.abs(v - 0.5) > 0.5 - NEAR).all(axis=1)
    return np.asarray(mixed[near | (np.ptp(u, axis=1) > LONG)])


def _beyond_seam(uv: F32) -> F32:
    """Continue the layout's left half across the seam: places of the right half, seen from it."""
    mirrored = uv * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    u, v = mirrored.T
    aside = u < np.minimum(v, 1 - v)
    return np.stack(
        [np.where(aside, -u, u), np.where(aside, v, np.where(v < 0.5, -v, 2 - v))], axis=1
    ).astype(np.float32)


def _in_disk(surface: Surface, vertices: np.ndarray) -> F32:
    middle, axes = skull_frame(surface.head, surface.posed)
    cos, sin = np.cos(TILT), np.sin(TILT)
    tilted = axes @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)
    x, y, z = ((surface.vertices[vertices] - middle) @ tilted).T
    across = np.hypot(x, z)
    radius = np.minimum(np.arctan2(across, y) / REACH, 1) / np.maximum(across, 1e-6)
    return np.stack(
        [0.5 + RADII[0] * radius * x, (1 + SHARE) / 2 - RADII[1] * radius * z], axis=1
    ).astype(np.float32)


def skull_frame(head: Head, posed: F32) -> tuple[F32, F32]:
    """Return the middle of the posed skull, (3,), and its axes: to its left, up, back, as columns.

    The axes follow from the layout: its middle is the middle of the face, its top the crown.
    """
    upper, lower, front, side = _parts(head)
    aside = _unit(side @ (posed - posed[head.mirror]))
    up = posed[upper].mean(axis=0) - posed[lower].mean(axis=0) if lower.any() else -np.eye(3)[1]
    up = _unit(up - (up @ aside) * aside)
    back = posed[~front].mean(axis=0) - posed[front].mean(axis=0)
    back = _unit(back - (back @ aside) * aside - (back @ up) * up)
    middle = posed[upper].mean(axis=0)
    return middle.astype(np.float32), np.stack([aside, up, back], axis=1).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _parts(head: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray, F32]:
    """Return which vertices lie in the layout's upper and lower part and in the middle, (n,), and
    the side that each lies on, -1 to 1.
    """
    u, v = head.uv[: len(head.mirror)].T
    upper, lower, front = v < np.quantile(v, 0.3), v > np.quantile(v, 0.7), np.abs(u - 0.5) < 0.25
    return upper, lower, front, np.sign(u - 0.5)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
