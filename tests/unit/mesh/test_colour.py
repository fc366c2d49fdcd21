"""surface → appearance: the photo's colour where it sees, its surroundings' where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import CROP_SIDE, F64, U8, Frame
from protome.mesh.colour import Texture, texture, vertex_colours
from protome.mesh.surface import Surface
from tests.support.shapes import CENTRE, ball_surface, sphere

RED, BLUE, GREEN = (200, 40, 30), (20, 60, 210), (0, 255, 0)
RADIUS = 60.0


def halves(side: int = CROP_SIDE, radius: float = RADIUS) -> U8:
    """A ball in front of green, its left half red and its right half blue."""
    y, x = np.indices((side, side)) + 0.5
    scale = CROP_SIDE / side
    crop = np.empty((side, side, 3), np.uint8)
    crop[:, : side // 2], crop[:, side // 2 :] = RED, BLUE
    crop[np.hypot(x * scale - CENTRE[0], y * scale - CENTRE[1]) > radius] = GREEN
    return crop


@pytest.fixture(scope="module")
def ball() -> Surface:
    return sphere(RADIUS)


def off(colours: U8, expected: tuple[int, int, int]) -> F64:
    worst: F64 = np.abs(colours.astype(np.float64) - expected).max(axis=1)
    return worst


def test_seen_vertices_take_the_photos_colour(ball: Surface) -> None:
    colours = vertex_colours(ball, halves())
    front = ball.normals[:, 2] < -0.6
    left, right = ball.vertices[:, 0] < 98, ball.vertices[:, 0] > 110
    assert off(colours[front & left], RED).max() <= 2
    assert off(colours[front & right], BLUE).max() <= 2


def test_the_background_does_not_smear_over_the_rim_and_the_back(ball: Surface) -> None:
    colours = vertex_colours(ball, halves())
    green_cast = colours[:, 1].astype(int) - colours[:, [0, 2]].max(axis=1)
    assert green_cast.max() < 0


def test_the_unseen_side_goes_on_in_the_colour_beside_it(ball: Surface) -> None:
    colours = vertex_colours(ball, halves()).astype(int)
    rim = (ball.normals[:, 2] > 0.0) & (ball.normals[:, 2] < 0.3)
    left, right = ball.vertices[:, 0] < 64, ball.vertices[:, 0] > 144
    assert (colours[rim & left, 0] > colours[rim & left, 2] + 30).mean() > 0.99
    assert (colours[rim & right, 2] > colours[rim & right, 0] + 30).mean() > 0.99


def test_what_lies_behind_something_does_not_take_its_colour() -> None:
    surface = ball_surface((22.0, (104, 104, 55)), (40.0, (104, 148, 100)))
    y, x = np.indices((CROP_SIDE, CROP_SIDE)) + 0.5
    crop = np.full((CROP_SIDE, CROP_SIDE, 3), BLUE, np.uint8)
    crop[np.hypot(x - 104, y - 104) < 23] = RED
    colours = vertex_colours(surface, crop).astype(int)
    # The far ball's front, well under the near ball and off its rim.
    distance = np.linalg.norm(surface.vertices - (104, 104, 55), axis=1)
    under = np.hypot(surface.vertices[:, 0] - 104, surface.vertices[:, 1] - 104) < 19
    hidden = under & (distance > 26) & (surface.normals[:, 2] < -0.5)
    assert hidden.sum() > 20
    seen = (surface.vertices[:, 1] > 138) & (surface.normals[:, 2] < -0.6)
    assert off(colours[seen].astype(np.uint8), BLUE).max() <= 2
    assert off(colours[hidden].astype(np.uint8), RED).min() > 40


@pytest.mark.parametrize("side", [104, 208, 512])
def test_the_crops_resolution_does_not_move_colours(ball: Surface, side: int) -> None:
    ramp = np.linspace(0, 255, side)[None, :, None]
    crop = np.broadcast_to(np.round(ramp), (side, side, 3)).astype(np.uint8)
    colours = vertex_colours(ball, crop)
    front = ball.normals[:, 2] < -0.6
    spots = ball.vertices[front, 0] / CROP_SIDE * side - 0.5
    expected = np.interp(spots, np.arange(side), ramp.ravel())
    assert np.abs(colours[front, 0] - expected).max() <= 1.5


def test_what_lies_outside_of_the_photo_takes_the_colour_inside(ball: Surface) -> None:
    crop = np.full((CROP_SIDE, CROP_SIDE, 3), RED, np.uint8)
    crop[:, 110:] = 0
    frame = Frame(right=110.0)
    assert off(vertex_colours(ball, crop, frame), RED).max() <= 2
    skin = texture(ball, crop, frame)
    assert np.quantile(off(lookup(skin), RED), 0.99) <= 10


def test_one_colour_stays_one_colour(ball: Surface) -> None:
    crop = np.full((CROP_SIDE, CROP_SIDE, 3), RED, np.uint8)
    assert off(vertex_colours(ball, crop), RED).max() <= 1


def test_a_black_crop_is_no_trouble(ball: Surface) -> None:
    crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    assert not vertex_colours(ball, crop).any()


@pytest.mark.parametrize("side", [208, 256, 512])
def test_a_texture_has_the_promised_shape(ball: Surface, side: int) -> None:
    skin = texture(ball, halves(side))
    assert skin.picture.shape == (side, 2 * side, 3)
    assert skin.picture.dtype == np.uint8
    facing = (
        np.hypot(*(np.indices((side, side)) + 0.5 - side / 2)) < 0.6 * RADIUS / CROP_SIDE * side
    )
    apart = np.abs(skin.picture[:, :side].astype(int) - halves(side))[facing]
    assert np.quantile(apart, 0.99) <= 2
    assert skin.uv.dtype == np.float32
    assert skin.uv.shape == (len(skin.source), 2)
    assert skin.uv.min() >= 0
    assert skin.uv.max() <= 1
    assert skin.triangles.dtype == np.uint32


def test_a_texture_keeps_every_triangle_in_its_place(ball: Surface) -> None:
    skin = texture(ball, halves())
    np.testing.assert_array_equal(skin.source[skin.triangles], ball.triangles)
    assert len(np.unique(skin.triangles)) == len(skin.source)


def test_no_triangle_reaches_over_both_halves_of_the_texture(ball: Surface) -> None:
    skin = texture(ball, halves())
    behind = skin.uv[skin.triangles][:, :, 0] >= 0.5
    assert (behind.all(axis=1) | ~behind.any(axis=1)).all()
    assert behind.any()
    assert not behind.all()


def lookup(skin: Texture) -> U8:
    height, width = skin.picture.shape[:2]
    x = np.clip((skin.uv[:, 0] * width).astype(int), 0, width - 1)
    y = np.clip((skin.uv[:, 1] * height).astype(int), 0, height - 1)
    found: U8 = skin.picture[y, x]
    return found


def test_the_texture_shows_the_colours_of_the_vertices(ball: Surface) -> None:
    skin = texture(ball, halves())
    shown, expected = lookup(skin), vertex_colours(ball, halves())[skin.source]
    apart = np.abs(shown.astype(int) - expected).max(axis=1)
    off_seam = np.abs(ball.vertices[skin.source, 0] - 104) > 12
    front = skin.uv[:, 0] < 0.5
    facing = ball.normals[skin.source, 2] < -0.6
    assert apart[front & facing & off_seam].max() <= 2
    assert np.quantile(apart[~front & off_seam], 0.95) < 40


def test_the_background_is_not_on_the_textures_back_half(ball: Surface) -> None:
    skin = texture(ball, halves())
    shown = lookup(skin)[skin.uv[:, 0] >= 0.5].astype(int)
    assert (shown[:, 1] < shown[:, [0, 2]].max(axis=1)).all()


def test_a_texture_of_a_head_over_the_crops_border_stays_inside() -> None:
    surface = ball_surface((50.0, (10, 180, 50)))
    skin = texture(surface, halves())
    assert skin.uv.min() >= 0
    assert skin.uv.max() <= 1


def test_a_small_surface_is_no_trouble() -> None:
    assert vertex_colours(sphere(12.0), halves()).shape[1] == 3
