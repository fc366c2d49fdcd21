"""The crop volume, its hair grid and the levels of detail."""

from __future__ import annotations

import numpy as np

from protome.geometry import CROP_DEPTH, CROP_SIDE, HAIR_CELL, HAIR_SHAPE, Level


def test_the_hair_grid_fills_the_crop_volume() -> None:
    extent = np.array(HAIR_SHAPE) * HAIR_CELL
    assert extent.tolist() == [CROP_DEPTH, CROP_SIDE, CROP_SIDE]


def test_each_level_samples_twice_as_densely_as_the_one_before() -> None:
    assert [level.step for level in Level] == [4, 2, 1]
