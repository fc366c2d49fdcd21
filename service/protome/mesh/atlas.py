"""Lay a surface out in the atlas: where each of its vertices lies in the picture.

The atlas has two islands. What lies on the head's skin has its place in the head's own layout, the
static ``Head.uv``: a rectangle with one seam at the back. What lies on hair has its place below, in
a disk that shows the directions from the middle of the head, the crown in its middle and the face's
side at the bottom (azimuthal equidistant projection). Without hair the head has the whole picture.

Both islands are their own mirror images, so the other side of the head is the picture flipped.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U32

from .head import Head
from .surface import Surface

# Width of the strips left and right of the head's island that repeat what is across the seam, and
# the part of the height that the head has above the hair, both shares of the atlas' side.
STRIP: Final = 1 / 64
SHARE: Final = 40 / 64
# Angle from the crown, radians, at the rim of the hair's disk, and the disk's radii.
REACH: Final = np.radians(165.0)
RADII: Final = (0.5 - STRIP, (1 - SHARE) / 2 - STRIP / 2)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A surface in the atlas.

    Attributes:
        places: (k, 2) float32, position in the atlas, (0, 0) top left, 1 across.
        source: (k,) uint32, index of the surface's vertex; those on a seam occur twice.
        triangles: (m, 3) uint32 into ``places``, in the surface's order.
        hairy: whether any triangle lies in the hair's island.
    """

    places: F32
    source: U32
    triangles: U32
    hairy: bool


def unwrap(surface: Surface, head: Head, posed: F32) -> Unwrapped:
    """Lay a surface out in the atlas.

    Args:
        surface: in crop coordinates.
        head: the layout.
        posed: (N, 3) float32, the posed head's vertices, crop coordinates.
    """
    n = len(surface.vertices)
    triangles = surface.triangles.astype(np.intp)
    hair = surface.source < 0
    hairy = bool(hair.any())
    uv = _on_head(surface, head)
    u = uv[:, 0].take(triangles)
    left, middle, right = u.T
    far = (np.abs(left - middle) > 0.5) | (np.abs(middle - right) > 0.5)
    far |= np.abs(right - left) > 0.5
    # Each vertex has up to three places: on the head, beyond the seam, in the hair.
    number = triangles.copy()
    across = np.flatnonzero(far)
    number[across] += n * (u[across] < 0.5)
    share = 1.0
    if hairy:
        share = SHARE
        number[hair.take(triangles).any(axis=1)] = 0
        of_hair = np.flatnonzero(hair.take(triangles).any(axis=1))
        number[of_hair] = triangles[of_hair] + 2 * n
    used = np.zeros(3 * n, np.bool_)
    used[number] = True
    kept = np.flatnonzero(used)
    order = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    source = kept % n
    places = np.empty((len(kept), 2), np.float32)
    shifted, first = kept >= n, int(np.searchsorted(kept, 2 * n))
    places[:first, 0] = STRIP + (1 - 2 * STRIP) * (uv[source[:first], 0] + shifted[:first])
    places[:first, 1] = share * uv[source[:first], 1]
    if hairy:
        places[first:] = _in_disk(surface.vertices[source[first:]], head, posed)
    np.clip(places, 1e-4, 1 - 1e-4, out=places)
    return Unwrapped(places, source.astype(np.uint32), order[number], hairy)


@functools.lru_cache(maxsize=4)
def _corners(head: Head) -> F32:
    """Return one corner of each triangle in the layout and the edges to the others, (T, 3, 2)."""
    uv = head.uv[head.triangles]
    uv[:, :, 0] += head.seam
    return np.ascontiguousarray(np.stack([uv[:, 0], *(uv[:, k] - uv[:, 0] for k in (1, 2))], 1))


def _on_head(surface: Surface, head: Head) -> F32:
    corner = _corners(head)[np.maximum(surface.source, 0)]
    weights = surface.weights
    uv = corner[:, 0] + weights[:, :1] * corner[:, 1] + weights[:, 1:] * corner[:, 2]
    uv[:, 0] -= uv[:, 0] >= 1
    return np.asarray(uv, np.float32)


def _in_disk(points: F32, head: Head, posed: F32) -> F32:
    middle, axes = skull_frame(head, posed)
    x, y, z = ((points - middle) @ axes).T
    across = np.hypot(x, z)
    radius = np.minimum(np.arctan2(across, y) / REACH, 1) / np.maximum(across, 1e-6)
    return np.stack(
        [0.5 + RADII[0] * radius * x, (1 + SHARE) / 2 - RADII[1] * radius * z], axis=1
    ).astype(np.float32)


def skull_frame(head: Head, posed: F32) -> tuple[F32, npt.NDArray[np.float32]]:
    """Return the middle of the posed head and its axes: to its left, up, back, (3, 3) columns."""
    u, v = head.uv.T
    aside = np.sign(u - 0.5) @ (posed - posed[head.mirror])
    upper, lower = v < np.quantile(v, 0.3), v > np.quantile(v, 0.7)
    up = posed[upper].mean(axis=0) - posed[lower].mean(axis=0)
    front = np.abs(u - 0.5) < 0.25
    back = posed[~front].mean(axis=0) - posed[front].mean(axis=0)
    aside = aside / max(float(np.linalg.norm(aside)), 1e-6)
    back -= (back @ aside) * aside
    up -= (up @ aside) * aside
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    back -= (back @ up) * up
    back = back / max(float(np.linalg.norm(back)), 1e-6)
    axes = np.stack([aside, up, back], axis=1)
    return (posed[upper].mean(axis=0)).astype(np.float32), axes.astype(np.float32)
