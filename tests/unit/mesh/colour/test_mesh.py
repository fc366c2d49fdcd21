"""What the encoders get: metres, +Y up, the face towards +Z."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from protome.geometry import CROP_SIDE, METRES_PER_PIXEL, U8, crop_to_mesh
from protome.mesh.colour.mesh import Appearance, apply_appearance
from protome.mesh.shape.surface import Surface
from tests.support.shapes import CENTRE, ball_surface, seeded, sphere


@pytest.fixture(scope="module")
def ball() -> Surface:
    return sphere(40.0)


@pytest.fixture(scope="module")
def crop() -> U8:
    return seeded(1).integers(0, 256, (CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("appearance", Appearance)
def test_a_ball_has_its_size_in_metres(ball: Surface, crop: U8, appearance: Appearance) -> None:
    mesh = apply_appearance(ball, appearance, crop)
    radii = np.linalg.norm(mesh.positions, axis=1)
    np.testing.assert_allclose(radii, 40.0 * METRES_PER_PIXEL, rtol=2e-3)
    outwards = mesh.positions / radii[:, None]
    assert np.einsum("ij,ij->i", mesh.normals, outwards).min() > 0.98
    assert mesh.surface_vertices == len(ball.vertices)
    assert len(mesh.triangles) == len(ball.triangles)


@pytest.mark.parametrize("appearance", Appearance)
def test_the_mesh_is_right_side_out(ball: Surface, crop: U8, appearance: Appearance) -> None:
    mesh = apply_appearance(ball, appearance, crop)
    volume = trimesh.Trimesh(mesh.positions, mesh.triangles, process=False).volume
    assert volume == pytest.approx(4 / 3 * np.pi * (40 * METRES_PER_PIXEL) ** 3, rel=0.01)


@pytest.mark.parametrize(
    ("shift", "axis", "sign"),
    [((30, 0, 0), 0, 1), ((0, 30, 0), 1, -1), ((0, 0, 15), 2, -1)],
    ids=["right in the crop is +X", "down in the crop is -Y", "away from the camera is -Z"],
)
def test_directions(shift: tuple[int, int, int], axis: int, sign: int, crop: U8) -> None:
    x, y, z = (a + b for a, b in zip(CENTRE, shift, strict=True))
    mesh = apply_appearance(ball_surface((30.0, (x, y, z))), Appearance.NONE, crop)
    middle = (mesh.positions.min(axis=0) + mesh.positions.max(axis=0)) / 2
    expected = np.zeros(3)
    expected[axis] = sign * sum(shift) * METRES_PER_PIXEL
    np.testing.assert_allclose(middle, expected, atol=1e-4)


def test_positions_follow_the_published_matrix(ball: Surface, crop: U8) -> None:
    mesh = apply_appearance(ball, Appearance.NONE, crop)
    rows = np.c_[ball.vertices, np.ones(len(ball.vertices))]
    np.testing.assert_allclose(mesh.positions, (rows @ crop_to_mesh().T)[:, :3], atol=1e-6)


def test_each_appearance_brings_what_it_needs(ball: Surface, crop: U8) -> None:
    plain = apply_appearance(ball, Appearance.NONE, crop)
    assert plain.colours is None
    assert plain.uv is None
    assert plain.picture is None
    coloured = apply_appearance(ball, Appearance.VERTEX_COLOURS, crop)
    assert coloured.colours is not None
    assert coloured.colours.shape == (len(ball.vertices), 3)
    assert coloured.uv is None
    textured = apply_appearance(ball, Appearance.TEXTURE, crop)
    assert textured.colours is None
    assert textured.picture is not None
    assert textured.uv is not None
    assert textured.uv.shape == (len(textured.positions), 2)
    assert len(textured.positions) > len(ball.vertices)


@pytest.mark.parametrize("appearance", Appearance)
def test_arrays_have_the_types_the_encoders_write(
    ball: Surface, crop: U8, appearance: Appearance
) -> None:
    mesh = apply_appearance(ball, appearance, crop)
    assert mesh.positions.dtype == np.float32
    assert mesh.normals.dtype == np.float32
    assert mesh.triangles.dtype == np.uint32
    assert mesh.triangles.max() < len(mesh.positions)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-4)
