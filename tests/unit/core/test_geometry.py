"""Levels of detail: resampling keeps everything in its place."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import CROP_DEPTH, CROP_SIDE, GRIDS, Level, resample
from protome.mesh.surface import extract
from tests.support.shapes import CENTRE, radii, seeded, sphere_volume, voxel_centres


@pytest.mark.parametrize("level", Level)
def test_voxels_of_every_level_fill_the_same_crop(level: Level) -> None:
    extent = np.array(GRIDS[level].shape) * GRIDS[level].voxel
    np.testing.assert_allclose(extent, (CROP_DEPTH, CROP_SIDE, CROP_SIDE))


@pytest.mark.parametrize("level", Level)
def test_the_own_level_is_returned_as_it_is(level: Level) -> None:
    volume = sphere_volume(30.0, level=level)
    assert resample(volume, level) is volume


def test_down_is_the_mean_of_eight() -> None:
    fine = seeded(1).integers(0, 256, GRIDS[Level.STANDARD].shape, dtype=np.uint8)
    coarse = resample(fine, Level.PREVIEW)
    assert coarse.shape == GRIDS[Level.PREVIEW].shape
    assert coarse.dtype == np.uint8
    for k, j, i in [(0, 0, 0), (49, 47, 47), (7, 30, 12)]:
        block = fine[2 * k : 2 * k + 2, 2 * j : 2 * j + 2, 2 * i : 2 * i + 2]
        assert abs(float(coarse[k, j, i]) - block.mean()) <= 0.5


def test_down_by_four_skips_a_level() -> None:
    fine = seeded(2).integers(0, 256, GRIDS[Level.FINE].shape, dtype=np.uint8)
    coarse = resample(fine, Level.PREVIEW)
    assert abs(float(coarse[3, 4, 5]) - fine[12:16, 16:20, 20:24].mean()) <= 0.5


@pytest.mark.parametrize("source", [Level.PREVIEW, Level.STANDARD])
@pytest.mark.parametrize("axis", range(3))
def test_up_is_linear_between_centres(source: Level, axis: int) -> None:
    x, y, z = voxel_centres(source)
    coarse = np.broadcast_to((z, y, x)[axis], GRIDS[source].shape)
    fine = resample(coarse.astype(np.uint8), Level.FINE).astype(np.float64)
    fx, fy, fz = voxel_centres(Level.FINE)
    expected = np.broadcast_to((fz, fy, fx)[axis], GRIDS[Level.FINE].shape)
    inner = (slice(4, -4),) * 3
    # The ramp is cut to whole numbers below and rounded above: 1.5 at most.
    shift = expected[inner] - fine[inner]
    assert shift.min() >= -0.51
    assert shift.max() <= 1.51


def test_up_never_leaves_the_range_of_its_neighbours() -> None:
    coarse = seeded(3).integers(0, 256, GRIDS[Level.PREVIEW].shape, dtype=np.uint8)
    fine = resample(coarse, Level.STANDARD)
    assert fine.min() >= coarse.min()
    assert fine.max() <= coarse.max()
    flat = np.full(GRIDS[Level.PREVIEW].shape, 77, np.uint8)
    assert (resample(flat, Level.FINE) == 77).all()


@pytest.mark.parametrize("source", Level)
@pytest.mark.parametrize("target", Level)
def test_the_same_ball_comes_out_of_every_level(source: Level, target: Level) -> None:
    centre = (CENTRE[0] + 3.3, CENTRE[1] - 2.1, CENTRE[2] + 1.7)
    surface = extract(resample(sphere_volume(38.0, centre, source), target))
    voxel = max(max(GRIDS[source].voxel), max(GRIDS[target].voxel))
    off = radii(surface, centre) - 38.0
    assert np.abs(off).max() < 0.15 * voxel
    middle = (surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(middle, centre, atol=0.05 * voxel)
