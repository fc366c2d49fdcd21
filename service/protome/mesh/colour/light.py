"""Estimate the light on a head, so that a colour seen in one place can be shown in another.

The logarithm of the skin's brightness is taken to be linear in the direction that the surface
faces: the first order of an irradiance map in spherical harmonics (Ramamoorthi and Hanrahan, "An
efficient representation for irradiance environment maps", SIGGRAPH 2001). Brows, beard, shine and
cast shadows are outliers of the fit.

This is the reference in NumPy of what ``kernel/colour/light.c`` does where there is a compiler.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32

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
# Fewest cells of seen skin to fit the light to.
FEWEST: Final = 20


def shade(facing: F32, colours: F32, skin: npt.NDArray[np.bool_]) -> F32:
    """Estimate how bright the light makes each cell of the atlas.

    Args:
        facing: (cells, cells, 3), the direction that each cell faces, about unit.
        colours: (cells, cells, 3) of the photo.
        skin: (cells, cells), the cells of skin that it shows.

    Returns:
        (cells, cells, 1), 1 as bright as the seen skin is on the whole.
    """
    count = int(skin.sum())
    if count < FEWEST:
        return np.ones((*skin.shape, 1), np.float32)
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
