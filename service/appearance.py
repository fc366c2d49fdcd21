"""surface → appearance: colour from the photo, and a sensible colour where it cannot see.

A point of the surface is seen when nothing of the head lies between it and the camera and it is not
turned too far away. Seen points take the photo's colour. The others take a colour that spreads
over the head from the seen ones (pull-push, Gortler et al., "The Lumigraph", SIGGRAPH 1996, here on
a pyramid of voxels), so a cheek goes on as a cheek instead of smearing one rim pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from .grid import CROP_DEPTH, CROP_SIDE, F32, U8
from .surface import Surface

# Cosine between normal and the way to the camera under which the photo is too oblique to use,
# and over which it is used alone. The rim mixes in background, hence not zero.
OBLIQUE: Final = 0.15
FACING: Final = 0.45
# Depth slack of the visibility test, crop pixels: the depth map is 2 px wide.
SLACK: Final = 4.0
PYRAMID: Final = (48, 24, 12, 6, 3, 1)


@dataclass(frozen=True, slots=True)
class Texture:
    """A picture and where each vertex lies in it.

    Attributes:
        picture: (s, 2 s, 3) uint8 RGB; the left half is the photo's crop, the right half the
            colours of the unseen parts, both seen from the camera.
        uv: (n, 2) float32, glTF convention: (0, 0) top left, 1 across.
        source: (n,) uint32, the surface's vertex each textured vertex comes from; vertices on
            the seam are there twice.
        triangles: (m, 3) uint32 into the textured vertices.
    """

    picture: U8
    uv: F32
    source: np.ndarray
    triangles: np.ndarray


def vertex_colours(surface: Surface, crop: U8) -> U8:
    """A colour for each vertex.

    Args:
        surface: in crop coordinates.
        crop: (s, s, 3) uint8 RGB, the crop at any resolution.

    Returns:
        (n, 3) uint8, sRGB.
    """
    sampled = _sample(crop, surface.vertices)
    seen = _seen(surface)
    spread = _spread(surface.vertices, sampled, seen)
    weight = seen[:, None]
    return np.clip(np.round(weight * sampled + (1 - weight) * spread), 0, 255).astype(np.uint8)


def texture(surface: Surface, crop: U8) -> Texture:
    """A texture for the surface, cut from the photo; arguments as :func:`vertex_colours`."""
    side = crop.shape[0]
    colours = vertex_colours(surface, crop)
    seen = _seen(surface) > 0.5
    front = seen[surface.triangles].all(axis=1)
    picture = np.concatenate([crop, _back(surface, colours, seen, side)], axis=1)
    # Vertices used by both halves are split; numbers of the back half follow the front half's.
    n = len(surface.vertices)
    corner = surface.triangles.astype(np.int64) + np.where(front, 0, n)[:, None]
    hit = np.zeros(2 * n, np.bool_)
    hit[corner] = True
    used = np.flatnonzero(hit)
    number = np.cumsum(hit, dtype=np.uint32) - 1
    source = used % n
    inset = 0.5 / side
    uv = np.clip(surface.vertices[source, :2] / CROP_SIDE, inset, 1 - inset)
    uv[:, 0] = (uv[:, 0] + (used >= n)) / 2
    return Texture(
        picture,
        uv.astype(np.float32),
        source.astype(np.uint32),
        number[corner],
    )


def _sample(crop: U8, vertices: F32) -> F32:
    """The crop's colour under each vertex, bilinear, (n, 3) float32."""
    scale = crop.shape[0] / CROP_SIDE
    spots = vertices[:, :2] * scale - 0.5
    # cv2.remap takes maps under 32,768 rows and columns: fold the list into rows.
    width = 1024
    rows = -(-len(spots) // width)
    folded = np.zeros((rows * width, 2), np.float32)
    folded[: len(spots)] = spots
    grid = folded.reshape(rows, width, 2)
    colours = cv2.remap(
        crop.astype(np.float32),
        grid[:, :, 0],
        grid[:, :, 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(colours, np.float32).reshape(-1, 3)[: len(spots)]


def _seen(surface: Surface) -> F32:
    """How well the photo sees each vertex, (n,) in 0 to 1."""
    side = CROP_SIDE // 2
    cell = np.clip((surface.vertices[:, :2] / 2).astype(np.int64), 0, side - 1)
    spot = cell[:, 1] * side + cell[:, 0]
    nearest = np.full(side * side, np.inf, np.float32)
    np.minimum.at(nearest, spot, surface.vertices[:, 2])
    # A cell may miss the front sheet where it is steep: look at the neighbours too.
    near = np.asarray(cv2.erode(nearest.reshape(side, side), np.ones((3, 3), np.uint8))).ravel()
    facing = -surface.normals[:, 2]
    behind = surface.vertices[:, 2] - nearest[spot]
    hidden = (behind > SLACK) | (surface.vertices[:, 2] - near[spot] > 4 * SLACK)
    weight = np.clip((facing - OBLIQUE) / (FACING - OBLIQUE), 0, 1)
    return np.where(hidden, 0, weight).astype(np.float32)


def _spread(vertices: F32, colours: F32, weight: F32) -> F32:
    """Carry the colours of weighted vertices to all others, (n, 3) float32."""
    extent = np.array([CROP_SIDE, CROP_SIDE, CROP_DEPTH], np.float32)
    unit = np.clip(vertices / extent, 0, 1 - 1e-6)
    spread = np.zeros_like(colours)
    trust = np.zeros(len(vertices), np.float32)
    for size in PYRAMID:
        cell = (unit * size).astype(np.int64)
        spot = (cell[:, 2] * size + cell[:, 1]) * size + cell[:, 0]
        total = np.bincount(spot, weight, minlength=size**3)
        mean = (
            np.stack(
                [np.bincount(spot, weight * colours[:, c], minlength=size**3) for c in range(3)],
                axis=1,
            )
            / np.maximum(total, 1e-6)[:, None]
        )
        # Coarser cells only fill what finer ones left open; a few vertices are trusted little.
        share = (1 - trust) * np.minimum(total[spot] / 6, 1)
        spread += share[:, None] * mean[spot]
        trust += share
    if trust.max() <= 0:
        return np.broadcast_to(colours.mean(axis=0), colours.shape).astype(np.float32)
    return np.asarray(spread / np.maximum(trust, 1e-6)[:, None], np.float32)


def _back(surface: Surface, colours: U8, seen: np.ndarray, side: int) -> U8:
    """The colours of the unseen vertices as a (side, side, 3) picture seen from the camera."""
    hidden = ~seen
    small = CROP_SIDE // 2
    cell = np.clip((surface.vertices[hidden, :2] / 2).astype(np.int64), 0, small - 1)
    spot = cell[:, 1] * small + cell[:, 0]
    count = np.bincount(spot, minlength=small * small).astype(np.float32)
    sums = np.stack(
        [np.bincount(spot, colours[hidden, c], minlength=small * small) for c in range(3)], axis=1
    )
    picture = sums.reshape(small, small, 3).astype(np.float32)
    weight = count.reshape(small, small)
    # Normalised blur closes the gaps between vertices; wide, since the colours are smooth.
    filled = np.zeros_like(picture)
    trust = np.zeros_like(weight)
    for sigma in (1.0, 4.0, 16.0):
        w = np.asarray(cv2.GaussianBlur(weight, (0, 0), sigma), np.float32)
        mean = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
        share = (1 - trust) * np.clip(w / 0.2, 0, 1)
        filled += (share / np.maximum(w, 1e-6))[:, :, None] * mean
        trust += share
    filled /= np.maximum(trust, 1e-6)[:, :, None]
    large = cv2.resize(filled, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.round(large), 0, 255).astype(np.uint8)
