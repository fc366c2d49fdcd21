"""Where triangles lie in the atlas, by the compiled painter and by its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protome.mesh.colour import raster
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import seeded

from .painter_inputs import floats

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

Place = tuple[float, float]


@pytest.mark.parametrize("painter", [kernel, raster])
@pytest.mark.parametrize(
    ("corners", "across"),
    [
        # The underside of the neck lies near the lower side; its middle is no seam.
        ([(0.499, 0.95), (0.501, 0.95), (0.5, 0.96)], False),
        ([(0.4, 0.05), (0.45, 0.1), (0.52, 0.1)], False),
        ([(0.35, 0.99), (0.65, 0.99), (0.4, 0.98)], True),
        ([(0.35, 0.01), (0.65, 0.02), (0.4, 0.02)], True),
        ([(0.02, 0.5), (0.98, 0.5), (0.03, 0.52)], True),
        ([(0.3, 0.5), (0.7, 0.5), (0.5, 0.6)], False),
        ([(0.3, 0.99), (0.4, 0.99), (0.35, 0.98)], False),
    ],
)
def test_a_triangle_is_across_the_seam_if_that_way_is_shorter(
    painter: Any, corners: list[Place], across: bool
) -> None:
    places = np.array(corners, np.float32)
    # A triangle without extent of the head for each corner.
    at = np.concatenate([places[:, None], np.zeros((3, 2, 2), np.float32)], axis=1)
    numbers = np.arange(3, dtype=np.int32)
    weights, triangle = np.zeros((3, 2), np.float32), numbers[None].astype(np.uint32)
    laid, *_ = painter.lay_out(at, numbers, weights, triangle, 0.0, 1.0)
    found = np.frombuffer(laid, np.float32).reshape(-1, 2)
    assert (np.abs(np.sort(found, axis=0) - np.sort(places, axis=0)).max() > 0.01) == across


@pytest.mark.parametrize("hair", [0.0, 0.3])
def test_layouts_are_equal(hair: float) -> None:
    rng = seeded(5)
    n = 3000
    corners = rng.random((500, 3, 2)).astype(np.float32)
    corners[:, 1:] = 0.1 * (corners[:, 1:] - 0.5)
    source = rng.integers(0, 500, n).astype(np.int32)
    source[rng.random(n) < hair] = -1
    weights = rng.random((n, 2)).astype(np.float32)
    triangles = rng.integers(0, n - 50, (800, 3)).astype(np.uint32)
    args = corners, source, weights, triangles, 1 / 64, 0.5
    ours, reference = (m.lay_out(*args) for m in (kernel, raster))
    assert ours[1:] == reference[1:]
    places, expected = (floats(r[0], len(r[1]) // 4, 2) for r in (ours, reference))
    assert np.abs(places - expected).max() < 1e-5
    numbers = np.frombuffer(ours[1], np.uint32)[np.frombuffer(ours[2], np.uint32)]
    np.testing.assert_array_equal(numbers, triangles.ravel())
