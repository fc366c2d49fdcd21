"""The crop volume, its hair grid and the levels of detail."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import CROP_DEPTH, CROP_SIDE, HAIR_CELL, HAIR_SHAPE, Level, double
from tests.support.shapes import seeded


def test_the_hair_grid_fills_the_crop_volume() -> None:
    extent = np.array(HAIR_SHAPE) * HAIR_CELL
    assert extent.tolist() == [CROP_DEPTH, CROP_SIDE, CROP_SIDE]


def test_each_level_samples_twice_as_densely_as_the_one_before() -> None:
    assert [level.step for level in Level] == [4, 2, 1]


@pytest.mark.parametrize("axis", range(3))
def test_doubling_is_linear_between_centres(axis: int) -> None:
    ramp = np.moveaxis(np.broadcast_to(np.arange(6.0), (3, 4, 6)), 2, axis).astype(np.float32)
    fine = np.moveaxis(double(ramp, axis), axis, 2)
    expected = np.clip((np.arange(12) - 0.5) / 2, 0, 5)
    np.testing.assert_allclose(fine, np.broadcast_to(expected, fine.shape), atol=1e-6)


def test_doubling_never_leaves_the_range_of_its_neighbours() -> None:
    coarse = seeded(3).uniform(-1, 1, (4, 5, 6)).astype(np.float32)
    fine = double(coarse, 1)
    assert fine.shape == (4, 10, 6)
    assert fine.min() >= coarse.min()
    assert fine.max() <= coarse.max()
