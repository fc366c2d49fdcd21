"""Estimate the light on a head, so that a colour seen in one place can be shown in another.

The logarithm of the skin's brightness is taken to be linear in the direction that the surface
faces: the first order of an irradiance map in spherical harmonics (Ramamoorthi and Hanrahan, "An
efficient representation for irradiance environment maps", SIGGRAPH 2001). Brows, beard, shine and
cast shadows are outliers of the fit.
"""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from protome.geometry import F32
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface

from .atlas import CELLS, directions, in_layout, skull_frame

# Added to a colour before its logarithm is taken.
FLOOR: Final = 12.0
# Weight of no light from any side, per cell; difference, as a logarithm, from which a cell is an
# outlier; rounds of the fit.
RIDGE: Final = 0.01
OUTLIER: Final = 0.1
ROUNDS: Final = 3
# Share of the fitted light that is believed, along the picture's axes: of seen skin the depth
# varies little.
BELIEVED: Final = (1.0, 0.8, 0.8)
# Most that light and shade differ from the seen skin's, as a logarithm.
MOST: Final = 0.9
# Cells along each side that share one direction, before it is interpolated.
COARSE: Final = 2
# Fewest cells of seen skin to fit the light to.
FEWEST: Final = 20


def shade(surface: Surface, hairy: bool, colours: F32, skin: npt.NDArray[np.bool_]) -> F32:
    """Estimate how bright the light makes each cell of the atlas.

    Args:
        surface: the posed head.
        hairy: whether the atlas has the hair's island.
        colours: (CELLS, CELLS, 3) of the photo.
        skin: (CELLS, CELLS), the cells of skin that it shows.

    Returns:
        (CELLS, CELLS, 1), 1 as bright as the seen skin is on the whole.
    """
    facing = normals(surface, hairy)
    count = int(skin.sum())
    if count < FEWEST:
        return np.ones((CELLS, CELLS, 1), np.float32)
    seen, bright = facing[skin], np.log(colours[skin] + FLOOR).mean(axis=1)
    weight = np.ones(count, np.float32)
    for _ in range(ROUNDS):
        total = weight.sum()
        middle, mean = weight @ seen / total, weight @ bright / total
        apart, rest = seen - middle, bright - mean
        pull = (apart * weight[:, None]).T
        slope = np.linalg.solve(pull @ apart + RIDGE * count * np.eye(3), pull @ rest)
        weight = OUTLIER / np.maximum(np.abs(rest - apart @ slope), OUTLIER)
    light = (facing - middle) @ (slope * np.array(BELIEVED)).astype(np.float32)
    return np.asarray(np.exp(np.clip(light, -MOST, MOST))[:, :, None], np.float32)


def normals(surface: Surface, hairy: bool) -> F32:
    """Return the direction that each cell of the atlas faces, (CELLS, CELLS, 3), about unit.

    On the head it is that of the posed head, in the hair the direction from the skull's middle.
    """
    first, second, third = (surface.posed[k] for k in _triangles(surface.head, hairy))
    x, y, z = (second - first).T
    u, v, w = (third - first).T
    cross = np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)
    cross /= np.maximum(np.sqrt((cross * cross).sum(axis=1, keepdims=True)), 1e-9)
    coarse = cross.reshape(CELLS // COARSE, CELLS // COARSE, 3)
    out = np.asarray(cv2.resize(coarse, (CELLS, CELLS), interpolation=cv2.INTER_LINEAR), np.float32)
    if hairy:
        where, towards = directions()
        _, axes = skull_frame(surface.head, surface.posed)
        out[where] = towards @ axes.T
    return out


@functools.lru_cache(maxsize=4)
def _triangles(head: Head, hairy: bool) -> npt.NDArray[np.int32]:
    """Return a triangle of the head near every ``COARSE``-th cell, (3, n)."""
    from scipy.spatial import cKDTree

    any_of = np.zeros(len(head.uv), np.intp)
    any_of[head.uv_triangles.ravel()] = np.repeat(np.arange(len(head.uv_triangles)), 3)
    middles = cv2.resize(in_layout(hairy), (CELLS // COARSE,) * 2, interpolation=cv2.INTER_AREA)
    nearest = cKDTree(head.uv).query(middles.reshape(-1, 2))[1]
    return np.ascontiguousarray(head.triangles[any_of[nearest]].T, np.int32)
