"""surface → appearance: the photo's colour where it sees, its surroundings' where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protome.geometry import CROP_SIDE, U8, Frame, Level
from protome.mesh.colour.texture import SIDES, side_for, texture, vertex_colours
from protome.mesh.shape.head import Region
from protome.mesh.shape.simplify import simplify
from protome.mesh.shape.surface import Surface, compose
from tests.support.shapes import CENTRE, ball_surface, no_hair, sphere

from .texture_inputs import BLUE, RADIUS, RED, halves, lookup, off, plain, skin


@pytest.fixture(scope="module")
def ball() -> Surface:
    return compose(*skin((RADIUS, CENTRE)), no_hair(), Level.STANDARD)


def greenest(colours: U8) -> int:
    """How far green is above red and blue."""
    values = colours.reshape(-1, 3).astype(int)
    return int((values[:, 1] - values[:, [0, 2]].max(axis=1)).max())


def test_seen_vertices_take_the_photos_colour(ball: Surface) -> None:
    colours = vertex_colours(ball, halves())
    front = ball.normals[:, 2] < -0.7
    left, right = (sign * (ball.vertices[:, 0] - CENTRE[0]) > 6 for sign in (-1, 1))
    assert off(colours[front & left], RED).max() <= 3
    assert off(colours[front & right], BLUE).max() <= 3


def test_nothing_of_the_background_is_in_the_file(ball: Surface) -> None:
    assert greenest(texture(ball, halves(512)).picture) < 0
    assert greenest(vertex_colours(ball, halves())) < 0


@pytest.mark.parametrize("wrong", [1, 2])
def test_an_outline_that_is_a_little_wrong_brings_no_background(ball: Surface, wrong: int) -> None:
    assert greenest(texture(ball, halves(512, RADIUS - wrong)).picture) < 0


def test_the_unseen_side_goes_on_in_the_colour_beside_it(ball: Surface) -> None:
    colours = vertex_colours(ball, halves()).astype(int)
    rim = (ball.normals[:, 2] > 0.0) & (ball.normals[:, 2] < 0.3)
    left, right = (sign * (ball.vertices[:, 0] - CENTRE[0]) > 40 for sign in (-1, 1))
    assert (colours[rim & left, 0] > colours[rim & left, 2] + 30).mean() > 0.99
    assert (colours[rim & right, 2] > colours[rim & right, 0] + 30).mean() > 0.99


def test_the_unseen_half_takes_the_mirrored_halfs_detail(ball: Surface) -> None:
    # The photo ends right of the middle; stripes on the left alone are stripes on both sides.
    stripes = plain((120, 120, 120))
    stripes[(np.arange(CROP_SIDE) // 8) % 2 == 1] = 180
    frame = Frame(right=CENTRE[0] + 4)
    colours = vertex_colours(ball, stripes, frame)[:, 0].astype(int)
    facing = (ball.normals[:, 2] < -0.8) & (np.abs(ball.vertices[:, 0] - CENTRE[0]) > 12)
    expected = np.where((ball.vertices[:, 1] // 8) % 2 == 1, 180, 120)
    middle = np.abs(ball.vertices[:, 1] % 8 - 4) < 2
    right = ball.vertices[:, 0] > CENTRE[0]
    for side in (right, ~right):
        assert np.abs(colours - expected)[facing & middle & side].mean() < 12


def test_what_lies_behind_something_does_not_take_its_colour() -> None:
    x, y, z = CENTRE
    two = skin((22.0, (x, y, z - 58)), (40.0, (x, y, z)))
    surface = compose(*two, no_hair(), Level.STANDARD)
    down, across = np.indices((CROP_SIDE, CROP_SIDE)) + 0.5
    crop = plain(BLUE)
    crop[np.hypot(across - x, down - y) < 23] = RED
    colours = vertex_colours(surface, crop).astype(int)
    off_middle = np.hypot(*(surface.vertices[:, :2] - CENTRE[:2]).T)
    far = np.linalg.norm(surface.vertices - CENTRE, axis=1) < 41
    hidden = far & (off_middle < 17) & (surface.normals[:, 2] < -0.5)
    assert hidden.sum() > 20
    assert off(colours[hidden].astype(np.uint8), RED).min() > 40


@pytest.mark.parametrize("side", [104, 208, 512])
def test_the_crops_resolution_does_not_move_colours(ball: Surface, side: int) -> None:
    ramp = np.linspace(0, 255, side)[None, :, None]
    crop = np.broadcast_to(np.round(ramp), (side, side, 3)).astype(np.uint8)
    colours = vertex_colours(ball, crop)
    front = ball.normals[:, 2] < -0.7
    spots = ball.vertices[front, 0] / CROP_SIDE * side - 0.5
    expected = np.interp(spots, np.arange(side), ramp.ravel())
    assert np.abs(colours[front, 0] - expected).max() <= 4


def test_what_lies_outside_of_the_photo_takes_the_colour_inside(ball: Surface) -> None:
    crop = plain(RED)
    crop[:, 118:] = 0
    frame = Frame(right=118.0)
    assert off(vertex_colours(ball, crop, frame), RED).max() <= 3
    assert off(lookup(texture(ball, crop, frame)), RED).max() <= 3


@pytest.mark.parametrize("colour", [RED, (0, 0, 0), (255, 255, 255)])
def test_one_colour_stays_one_colour(ball: Surface, colour: tuple[int, int, int]) -> None:
    assert off(vertex_colours(ball, plain(colour)), colour).max() <= 2


def test_a_head_of_which_the_photo_shows_nothing_is_grey(ball: Surface) -> None:
    colours = vertex_colours(ball, plain(RED), Frame(right=-300.0, left=-400.0))
    assert off(colours, (128, 128, 128)).max() <= 2


@pytest.mark.parametrize("side", SIDES)
def test_a_texture_has_the_promised_shape(ball: Surface, side: int) -> None:
    made = texture(ball, halves(512), side=side)
    assert made.picture.shape == (side, side, 3)
    assert made.picture.dtype == np.uint8
    assert made.uv.dtype == np.float32
    assert made.uv.shape == (len(made.source), 2)
    assert made.uv.min() >= 0
    assert made.uv.max() <= 1
    assert made.triangles.dtype == made.source.dtype == np.uint32
    front = ball.normals[made.source, 2] < -0.7
    left = ball.vertices[made.source, 0] < CENTRE[0] - 8
    assert off(lookup(made)[front & left], RED).max() <= 3


def test_the_side_follows_the_photos_pixels() -> None:
    assert [side_for(p) for p in (208, 256, 512, 1024, 4000)] == [512, 512, 1024, 2048, 2048]
    assert side_for(1024, 1000) == 1024
    assert side_for(1024, 1024) == 1024
    assert side_for(1024, 300) == 512
    assert side_for(1024, 0) == 2048
    assert side_for(1024, 10) == side_for(100) == 256


def test_a_texture_keeps_every_triangle_in_its_place(ball: Surface) -> None:
    made = texture(ball, halves())
    np.testing.assert_array_equal(made.source[made.triangles], ball.triangles)
    assert len(np.unique(made.triangles)) == len(made.source)


def test_the_texture_shows_the_colours_of_the_vertices(ball: Surface) -> None:
    made = texture(ball, halves())
    shown, expected = lookup(made), vertex_colours(ball, halves())[made.source]
    off_seam = np.abs(ball.vertices[made.source, 0] - CENTRE[0]) > 12
    assert np.abs(shown.astype(int) - expected).max(axis=1)[off_seam].max() <= 4


@pytest.mark.parametrize("frame", [Frame(), Frame(right=130.0)])
def test_no_border_shows_between_seen_and_unseen(ball: Surface, frame: Frame) -> None:
    smooth = np.linspace(90, 170, CROP_SIDE)
    crop = np.stack(np.broadcast_arrays(smooth, smooth[:, None], 120), axis=2).astype(np.uint8)
    picture = texture(ball, crop, frame, 512).picture.astype(int)
    for axis in (0, 1):
        assert np.abs(np.diff(picture, axis=axis)).max() <= 12


def test_lips_are_not_filled_from_the_skin() -> None:
    head, vertices = skin((RADIUS, CENTRE))
    below = np.hypot(vertices[:, 0] - CENTRE[0], vertices[:, 1] - CENTRE[1] - 25) < 12
    region = np.where(below & (vertices[:, 2] < CENTRE[2]), Region.LIPS, Region.SKIN)
    surface = compose(
        replace(head, region=region.astype(np.uint8)), vertices, no_hair(), Level.STANDARD
    )
    # The photo ends above the lips.
    colours = vertex_colours(surface, plain((200, 150, 120)), Frame(bottom=CENTRE[1]))
    mouth = np.hypot(*(surface.vertices[:, :2] - [CENTRE[0], CENTRE[1] + 25]).T) < 7
    mouth &= surface.normals[:, 2] < -0.5
    cheek = np.abs(surface.vertices[:, 0] - CENTRE[0]) > 30
    reds = [float((colours[k, 0] / colours[k, 1].astype(float)).mean()) for k in (mouth, cheek)]
    assert reds[0] > reds[1] + 0.2
    assert off(colours[surface.normals[:, 2] > 0.5], (200, 150, 120)).max() <= 8, "none at the back"


def test_the_back_is_filled_from_the_scalp_not_from_the_face() -> None:
    head, vertices = skin((RADIUS, CENTRE))
    high = vertices[:, 1] < CENTRE[1] - 15
    scalp = high | (vertices[:, 2] > CENTRE[2])
    region = np.where(scalp, Region.SCALP, Region.SKIN).astype(np.uint8)
    surface = compose(replace(head, region=region), vertices, no_hair(), Level.STANDARD)
    crop = plain((220, 170, 150))
    crop[: int(CENTRE[1]) - 15] = (60, 40, 20)
    crop[150:154, 95:113] = (255, 0, 0)
    colours = vertex_colours(surface, crop)
    back = surface.normals[:, 2] > 0.6
    assert np.median(off(colours[back], (60, 40, 20))) < 25
    assert colours[back].astype(int).std(axis=0).max() < 12, "no ghost of the face"


@pytest.mark.parametrize("below", [Region.NECK, Region.BEHIND])
def test_a_collar_is_not_part_of_the_neck(below: Region) -> None:
    head, vertices = skin((RADIUS, CENTRE))
    low = vertices[:, 1] > CENTRE[1] + 25
    region = np.where(low, below, Region.SKIN).astype(np.uint8)
    surface = compose(replace(head, region=region), vertices, no_hair(), Level.STANDARD)
    crop = plain((220, 170, 150))
    crop[int(CENTRE[1]) + 28 :] = (20, 30, 200)
    colours = vertex_colours(surface, crop).astype(int)
    neck = surface.vertices[:, 1] > CENTRE[1] + 45
    assert (colours[neck, 0] > colours[neck, 2]).mean() > 0.95


def test_a_simplified_surface_shows_the_same(ball: Surface) -> None:
    small = simplify(ball, 3000)
    colours = lookup(texture(small, halves(512)))
    source = texture(small, halves(512)).source
    front = small.normals[source, 2] < -0.75
    left = small.vertices[source, 0] < CENTRE[0] - 8
    assert off(colours[front & left], RED).max() <= 4


@pytest.mark.parametrize(
    "surface",
    [sphere(12.0), ball_surface((50.0, (10, 180, 50)))],
    ids=["small", "over the crop's border"],
)
def test_other_heads_are_no_trouble(surface: Surface) -> None:
    made = texture(surface, halves())
    assert 0 <= made.uv.min() <= made.uv.max() <= 1
    assert vertex_colours(surface, halves()).shape == surface.vertices.shape
