"""The plan of an atlas, made by the compiled painter and by its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protome.geometry import F32
from protome.mesh.colour import raster
from protome.mesh.colour.fill import DARK, SKIN
from protome.mesh.shape.surface import COMPILED

from .painter_inputs import floats, seen_cells

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

BOTH = (kernel, raster)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cells", [32, 64])
def test_plans_are_equal(seed: int, cells: int) -> None:
    args = seen_cells(seed, cells)
    ours, reference = (floats(m.plan(*args), cells, cells, 8) for m in BOTH)
    apart = np.abs(ours - reference)
    assert apart[:, :, :6].mean() < 0.2
    assert np.quantile(apart[:, :, :6], 0.99) < 2
    assert np.quantile(apart[:, :, 6:], 0.99) < 0.01
    assert 0.1 < (reference[:, :, 6] > 0.5).mean() < 0.9


@pytest.mark.parametrize("cells", [2, 4, 64])
def test_a_plan_of_nothing_is_one_colour(cells: int) -> None:
    sums, groups, mouth, facing, rows, _ = seen_cells(0, cells)
    args = sums * np.float32(0), groups * np.uint8(0), mouth, facing, rows, 0
    ours, reference = (floats(m.plan(*args), cells, cells, 8) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=0.01)
    assert (ours[:, :, :3].round() == 128).all()


@pytest.mark.parametrize("painter", BOTH)
@pytest.mark.parametrize(("seen", "most", "least"), [(33, 0.4, 0.0), (64, 1.0, 0.95)])
def test_a_mouth_on_the_outline_shows_no_background(
    painter: Any, seen: int, most: float, least: float
) -> None:
    """In profile the middle of the mouth lies on the outline of the head; teeth seen from the front
    lie beside gaps, which are no outline."""
    cells = 64
    groups = np.full((cells, cells), SKIN, np.uint8)
    groups[30:34, 28:37] = DARK
    mouth = (groups == DARK).astype(np.uint8)
    weight = np.zeros((cells, cells, 1), np.float32)
    weight[:, :seen] = 1
    weight[31, 30:32] = 0
    colour = np.full((cells, cells, 3), 180, np.float32)
    sums = np.concatenate([colour * weight, weight], axis=2)
    facing = np.broadcast_to(np.array([0, 0, -1], np.float32), (cells, cells, 3)).copy()
    planned = painter.plan(sums, groups, mouth, facing, cells, 1)
    own: F32 = floats(planned, cells, cells, 8)[:, :, 6]
    assert least <= own[32, 32] <= most
    assert own[32, 20] > 0.9
