"""Colour a surface: from the photo where it is visible, interpolated elsewhere.

Visible points (``visibility``) take the photo's colour. The others take colours that are spread
over the head from the visible ones (pull-push, Gortler et al., "The Lumigraph", SIGGRAPH 1996, here
on a pyramid of voxels), so that a cheek continues as a cheek instead of repeating one pixel of the
outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from scipy import ndimage

from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, U8, Frame, double

from .surface import Surface
from .visibility import WHOLE, visibility

# Cells along each side of the grid on which colours are spread, and the weight of visible vertices
# from which on a cell ignores the coarser grids.
CELLS: Final = 24
TRUSTED: Final = 6.0


@dataclass(frozen=True, slots=True)
class Texture:
    """A picture and the position of each vertex in it.

    Attributes:
        picture: (s, 2 s, 3) uint8 RGB; the left half is the photo's crop, the right half the
            colours of the invisible parts, both seen from the camera.
        uv: (n, 2) float32, glTF convention: (0, 0) top left, 1 across.
        source: (n,) uint32, index of the surface's vertex that each textured vertex comes from;
            vertices on the seam occur twice.
        triangles: (m, 3) uint32 into the textured vertices.
    """

    picture: U8
    uv: F32
    source: np.ndarray
    triangles: np.ndarray


def vertex_colours(surface: Surface, crop: U8, frame: Frame = WHOLE) -> U8:
    """Return a colour for each vertex, (n, 3) uint8 sRGB.

    Args:
        surface: in crop coordinates.
        crop: (s, s, 3) uint8 RGB, the crop at any resolution.
        frame: the part of the crop that the photo covers.
    """
    seen = visibility(surface, frame)
    sampled = _sample(crop, surface.vertices)
    weight = seen[:, None]
    return _to_u8(weight * sampled + (1 - weight) * _spread(surface.vertices, sampled, seen))


def texture(surface: Surface, crop: U8, frame: Frame = WHOLE) -> Texture:
    """Make a texture for the surface from the photo; arguments as :func:`vertex_colours`."""
    side = crop.shape[0]
    seen = visibility(surface, frame)
    spread = _spread(surface.vertices, _sample(crop, surface.vertices), seen)
    triangles = surface.triangles.astype(np.intp)
    visible = seen > 0
    front = visible.take(triangles.T).all(axis=0)
    # Towards the outline the photo fades into the colour that continues behind it, without a seam.
    fade = _splat(surface.vertices[visible], np.c_[spread, seen][visible], side)
    weight = fade[:, :, 3:]
    left = _to_u8(weight * crop + (1 - weight) * fade[:, :, :3])
    right = _to_u8(_splat(surface.vertices[~visible], spread[~visible], side))
    # Vertices used by both halves are split; indices of the back half follow the front half's.
    n = len(surface.vertices)
    corner = triangles + np.where(front, 0, n)[:, None]
    hit = np.zeros(2 * n, np.bool_)
    hit[corner] = True
    used = np.flatnonzero(hit)
    number = np.cumsum(hit, dtype=np.uint32) - 1
    source = used % n
    inset = 0.5 / side
    uv = np.clip(surface.vertices[source, :2] / CROP_SIDE, inset, 1 - inset)
    uv[:, 0] = (uv[:, 0] + (used >= n)) / 2
    return Texture(
        np.concatenate([left, right], axis=1),
        uv.astype(np.float32),
        source.astype(np.uint32),
        number[corner],
    )


def _to_u8(values: F32) -> U8:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _sample(crop: U8, vertices: F32) -> F32:
    """Sample the crop's colour at each vertex, bilinear, (n, 3) float32."""
    scale = crop.shape[0] / CROP_SIDE
    spots = vertices[:, :2] * scale - 0.5
    # cv2.remap is limited to 32,767 rows and columns, so fold the list into rows.
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


def _spread(vertices: F32, colours: F32, weight: F32) -> F32:
    """Spread the colours of weighted vertices to all others, (n, 3) float32."""
    extent = np.array([CROP_DEPTH, CROP_SIDE, CROP_SIDE], np.float32)
    unit = np.clip(vertices[:, ::-1] / extent, 0, 1 - 1e-6)
    cell = (unit * CELLS).astype(np.int64)
    spot = (cell[:, 0] * CELLS + cell[:, 1]) * CELLS + cell[:, 2]
    sums = [np.bincount(spot, weight * c, CELLS**3) for c in (*colours.T, np.ones_like(weight))]
    filled = _pull_push(np.stack(sums).reshape(4, CELLS, CELLS, CELLS).astype(np.float32))
    where = (unit * CELLS - 0.5).T
    channels = [ndimage.map_coordinates(c, where, order=1, mode="nearest") for c in filled]
    return np.stack(channels, axis=1).astype(np.float32)


def _pull_push(sums: F32) -> F32:
    """Fill the empty cells of a grid from coarser grids.

    Args:
        sums: (4, s, s, s), weighted sums of three channels, and the weights.

    Returns:
        (3, s, s, s), the channels in all cells.
    """
    weight = sums[3]
    mean = sums[:3] / np.maximum(weight, 1e-6)
    size = sums.shape[1]
    if size % 2:
        total = max(float(weight.sum()), 1e-6)
        coarse = np.broadcast_to(
            (sums[:3].sum(axis=(1, 2, 3)) / total)[:, None, None, None], mean.shape
        )
    else:
        half = size // 2
        pulled = sums.reshape(4, half, 2, half, 2, half, 2).sum(axis=(2, 4, 6))
        coarse = _pull_push(pulled)
        for axis in (1, 2, 3):
            coarse = double(coarse, axis)
    # A cell with little weight takes more from the coarser grid.
    trust = np.minimum(weight / TRUSTED, 1)
    return np.asarray(trust * mean + (1 - trust) * coarse, np.float32)


def _splat(vertices: F32, values: F32, side: int) -> F32:
    """Render values of vertices as a smooth (side, side, channels) picture from the camera."""
    small = CROP_SIDE // 2
    cell = np.clip((vertices[:, :2] / 2).astype(np.int64), 0, small - 1)
    spot = cell[:, 1] * small + cell[:, 0]
    sums = [np.bincount(spot, c, small * small) for c in (*values.T, np.ones(len(values)))]
    grid = np.stack(sums, axis=1).reshape(small, small, -1).astype(np.float32)
    filled = np.zeros((small, small, values.shape[1]), np.float32)
    trust = np.zeros((small, small, 1), np.float32)
    # Normalised blurs of growing width close the gaps between vertices and extend the outline.
    for sigma in (0.7, 2.0, 8.0):
        blurred = np.asarray(cv2.GaussianBlur(grid, (0, 0), sigma), np.float32)
        weight = blurred[:, :, -1:]
        share = (1 - trust) * np.clip(weight / 0.2, 0, 1)
        filled += share * blurred[:, :, :-1] / np.maximum(weight, 1e-6)
        trust += share
    filled /= np.maximum(trust, 1e-6)
    large = cv2.resize(filled, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)
