"""Pictures of a mesh, and what the demo makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from protome.demo.demo import SIDE, preview
from protome.demo.render import BACKGROUND, Model3D, read_glb, render
from protome.geometry import CROP_SIDE, U8
from protome.mesh.encode import Compression, Encoding, Format, encode
from protome.mesh.mesh import Appearance, apply_appearance
from tests.support.shapes import CENTRE, ball_surface, sphere

RED, BLUE = (200, 30, 30), (30, 30, 200)


def halves() -> U8:
    crop = np.empty((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    crop[:, : CROP_SIDE // 2], crop[:, CROP_SIDE // 2 :] = RED, BLUE
    return crop


def glb(appearance: Appearance, compression: Compression = Compression.NONE) -> bytes:
    mesh = apply_appearance(sphere(40.0), appearance, halves())
    return encode(mesh, Encoding(Format.GLB, compression, appearance)).data


@pytest.fixture(scope="module")
def ball() -> Model3D:
    return read_glb(glb(Appearance.TEXTURE))


def drawn(picture: U8) -> np.ndarray:
    return np.asarray((picture != BACKGROUND).any(axis=2))


def test_a_glb_is_read_back(ball: Model3D) -> None:
    mesh = apply_appearance(sphere(40.0), Appearance.TEXTURE, halves())
    np.testing.assert_array_equal(ball.positions, mesh.positions)
    np.testing.assert_array_equal(ball.triangles, mesh.triangles)
    assert ball.picture is not None
    assert ball.picture.shape == (512, 512, 3)
    assert read_glb(glb(Appearance.NONE)).picture is None


@pytest.mark.parametrize("data", [b"not a glb at all, but long enough", None])
def test_other_files_are_refused(data: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"GLB"):
        read_glb(data if data is not None else glb(Appearance.NONE, Compression.DRACO))


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
    picture = render(ball, side=128, textured=True).astype(int)
    assert np.abs(picture[64, 40] - RED).max() < 25
    assert np.abs(picture[64, 88] - BLUE).max() < 25


def test_turning_to_the_right_brings_the_left_to_the_front(ball: Model3D) -> None:
    picture = render(ball, side=128, textured=True, yaw=60).astype(int)
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


def test_the_preview_is_five_pictures_in_a_row(sample_photo: bytes) -> None:
    picture = preview(sample_photo, glb(Appearance.TEXTURE))
    assert picture.shape == (SIDE, 5 * SIDE, 3)
    panels = picture.reshape(SIDE, 5, SIDE, 3).swapaxes(0, 1)
    assert panels[0].std() > 30
    for panel in panels[1:]:
        assert 0.3 < drawn(panel).mean() < 0.9


def test_the_preview_refuses_what_is_no_photo() -> None:
    with pytest.raises(ValueError, match="photo"):
        preview(b"not a photo", glb(Appearance.TEXTURE))
