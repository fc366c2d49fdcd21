"""Light: what the skin shows of it, and how it colours what the photo does not show."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import CROP_SIDE, F32, U8, Frame, Level
from protome.mesh.colour.atlas import CELLS
from protome.mesh.colour.cells import facing as facing_of
from protome.mesh.colour.light import BELIEVED, shade
from protome.mesh.colour.texture import vertex_colours
from protome.mesh.shape.surface import Surface, compose
from tests.support.shapes import CENTRE, balls, no_hair

RADIUS = 60.0
SLOPE = np.array([0.35, -0.2, 0.0])


@pytest.fixture(scope="module")
def ball() -> Surface:
    return compose(*balls((RADIUS, CENTRE)), no_hair(), Level.STANDARD)


def lit(slope: F32) -> U8:
    """A grey ball in light that falls off as ``exp(slope @ normal)``."""
    y, x = (np.indices((CROP_SIDE, CROP_SIDE)) + 0.5 - 104) / RADIUS
    x, y = x - (CENTRE[0] - 104) / RADIUS, y - (CENTRE[1] - 104) / RADIUS
    z = -np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    bright = 110 * np.exp(np.stack([x, y, z], axis=2) @ slope)
    return np.repeat(np.clip(bright, 0, 255)[:, :, None], 3, axis=2).astype(np.uint8)


def test_each_cell_faces_as_the_head_does_there(ball: Surface) -> None:
    facing = facing_of(ball, None)
    length = np.linalg.norm(facing, axis=2)
    assert np.quantile(np.abs(length - 1), 0.95) < 0.02
    middle = facing[CELLS // 2 - 2 : CELLS // 2 + 2, CELLS // 2 - 2 : CELLS // 2 + 2]
    assert (middle[:, :, 2] < -0.9).all(), "the layout's middle is the face's"
    assert facing[:, :4, 2].mean() > 0.5, "its border is the back"


def test_the_light_is_found_and_what_is_seen_decides_its_strength(ball: Surface) -> None:
    facing = facing_of(ball, None)
    seen = facing[:, :, 2] < -0.3
    colours = (100 * np.exp(facing @ SLOPE)[:, :, None] * np.ones(3)).astype(np.float32)
    light = np.log(shade(facing, colours, seen)[:, :, 0])
    expected = facing @ (SLOPE * BELIEVED)
    apart = light - expected
    assert np.abs(apart - apart[seen].mean()).max() < 0.08
    assert abs(light[seen].mean()) < 0.05


def test_a_beard_is_no_shade(ball: Surface) -> None:
    facing = facing_of(ball, None)
    seen = facing[:, :, 2] < -0.3
    colours = np.full((CELLS, CELLS, 3), 150, np.float32)
    colours[(facing[:, :, 1] > 0.5) & (np.abs(facing[:, :, 0]) < 0.4)] = 40
    light = np.log(shade(facing, colours, seen))
    assert np.abs(light).max() < 0.35


def test_without_skin_there_is_no_light(ball: Surface) -> None:
    dark = np.zeros((CELLS, CELLS, 3), np.float32)
    facing = facing_of(ball, None)
    assert (shade(facing, dark, np.zeros((CELLS, CELLS), np.bool_)) == 1).all()


def test_the_unseen_side_is_lit_from_the_same_side(ball: Surface) -> None:
    # The photo ends right of the middle; the light comes from the right.
    colours = vertex_colours(ball, lit(np.array([0.4, 0, 0])), Frame(right=CENTRE[0] + 18))
    grey, facing = colours[:, 0].astype(float), ball.normals
    towards = (facing[:, 2] < -0.2) & (np.abs(facing[:, 1]) < 0.3)
    right, left = towards & (facing[:, 0] > 0.7), towards & (facing[:, 0] < -0.7)
    expected = 110 * np.exp(0.4 * facing[:, 0])
    assert np.abs(grey - expected)[right].mean() < 25, "the mirror image is 70 darker"
    assert grey[right].mean() > grey[left].mean() + 30
