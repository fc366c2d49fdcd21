"""Pictures of a mesh."""

from __future__ import annotations

import numpy as np
import pytest

from protome.demo.render import BACKGROUND, Model3D, render
from protome.geometry import CROP_SIDE, U8
from protome.mesh.colour.mesh import Appearance, Mesh, apply_appearance
from tests.support.shapes import CENTRE, ball_surface, sphere

RED, BLUE = (200, 30, 30), (30, 30, 200)


def halves() -> U8:
    crop = np.empty((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    crop[:, : CROP_SIDE // 2], crop[:, CROP_SIDE // 2 :] = RED, BLUE
    return crop


def painted(appearance: Appearance) -> Mesh:
    return apply_appearance(sphere(40.0), appearance, halves())


@pytest.fixture(scope="module")
def ball() -> Model3D:
    mesh = painted(Appearance.TEXTURE)
    return Model3D(mesh.positions, mesh.normals, mesh.triangles, mesh.uv, mesh.picture)


def drawn(picture: U8) -> np.ndarray:
    return np.asarray((picture != BACKGROUND).any(axis=2))


@pytest.mark.parametrize("yaw", [0, 90, 200])
def test_a_ball_is_a_disc_without_holes(ball: Model3D, yaw: float) -> None:
    shown = drawn(render(ball, side=128, yaw=yaw))
    y, x = np.indices(shown.shape) + 0.5
    radius = np.hypot(x - 64, y - 64)
    edge = 128 / 2.05
    assert shown[radius < edge - 1.5].all()
    assert not shown[radius > edge + 1.5].any()


def test_light_comes_from_above(ball: Model3D) -> None:
    picture = render(ball, side=128).astype(int)
    assert picture[30, 64].sum() > picture[98, 64].sum() + 60


def test_a_texture_is_the_right_way_round(ball: Model3D) -> None:
    picture = render(ball, side=128, coloured=True).astype(int)
    assert np.abs(picture[64, 40] - RED).max() < 25
    assert np.abs(picture[64, 88] - BLUE).max() < 25


def test_colours_of_vertices_are_drawn() -> None:
    mesh = painted(Appearance.VERTEX_COLOURS)
    model = Model3D(mesh.positions, mesh.normals, mesh.triangles, colours=mesh.colours)
    picture = render(model, side=128, coloured=True).astype(int)
    assert np.abs(picture[64, 40] - RED).max() < 25
    assert np.abs(picture[64, 88] - BLUE).max() < 25
    assert np.ptp(render(model, side=128)[64, 64]) < 30, "clay otherwise"


def test_turning_to_the_right_brings_the_left_to_the_front(ball: Model3D) -> None:
    picture = render(ball, side=128, coloured=True, yaw=60).astype(int)
    assert picture[64, 64, 0] > picture[64, 64, 2] + 50


def test_pitching_turns_the_front_down() -> None:
    nose = 8.0, (104.0, 104.0, 52.0)
    surface = ball_surface((30.0, CENTRE), nose)
    mesh = apply_appearance(surface, Appearance.TEXTURE, halves())
    model = Model3D(mesh.positions, mesh.normals, mesh.triangles, mesh.uv, mesh.picture)
    rows = np.flatnonzero(drawn(render(model, side=128, pitch=80)).any(axis=1))
    columns = np.flatnonzero(drawn(render(model, side=128, pitch=80)).any(axis=0))
    assert np.ptp(rows) > np.ptp(columns) + 5
    widths = drawn(render(model, side=128, pitch=80)).sum(axis=1)
    assert widths[rows[-1] - 4] < widths[rows[0] + 4], "the nose points down"
