"""A crop that is turned in the photo: everything goes back to its place exactly."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import (
    CROP_DEPTH,
    CROP_SIDE,
    Box,
    CropRule,
    Placement,
    about_z,
    angles,
    crop_to_mesh,
    place,
    turned,
)
from protome.image.crop import cut
from protome.image.decode import Image
from protome.mesh.colour.mesh import Appearance, apply_appearance
from protome.mesh.colour.texture import vertex_colours
from tests.support.shapes import seeded, sphere

RULE = CropRule(side=2.3, drop=0.1, anchor=110.0)
WIDTH, HEIGHT = 400, 300
ROLLS = [30.0, 90.0, 137.5, 180.0, -90.0, -61.25]


def photo() -> Image:
    small = seeded(5).integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(small, 10, axis=0), 10, axis=1)
    return Image(pixels, WIDTH, HEIGHT)


def test_turned_is_counter_clockwise_in_the_picture_and_exact_at_quarters() -> None:
    assert turned(1.0, 0.0, 90) == (0, -1)
    assert turned(0.0, -1.0, 90) == (-1, 0)
    assert turned(3.0, 4.0, -180) == (-3, -4)
    assert turned(*turned(3.0, 4.0, 37.0), -37.0) == pytest.approx((3, 4))


@pytest.mark.parametrize("roll", ROLLS)
def test_the_matrix_takes_the_crops_axes_to_the_photo(roll: float) -> None:
    placement = Placement(37.25, -12.5, 0.31, roll)
    matrix = placement.crop_to_photo()
    corner = matrix @ (0, 0, CROP_DEPTH / 2, 1)
    np.testing.assert_allclose(corner[:3], (*placement.corner, 0), atol=1e-9)
    centre = matrix @ (CROP_SIDE / 2, CROP_SIDE / 2, 0, 1)
    middle = 37.25 + 0.31 * CROP_SIDE / 2, -12.5 + 0.31 * CROP_SIDE / 2
    np.testing.assert_allclose(centre[:2], middle, atol=1e-9)
    up = matrix @ (0, -1, 0, 0)
    np.testing.assert_allclose(up[:3], (*turned(0, -0.31, roll), 0), atol=1e-12)
    assert np.array_equal(placement.mesh_to_photo(), Placement(37.25, -12.5, 0.31).mesh_to_photo())


@pytest.mark.parametrize("roll", ROLLS)
def test_the_crop_is_where_the_matrix_says(roll: float) -> None:
    y, x = np.mgrid[:1000, :1200] + 0.5
    grey = 255 * np.exp(-((x - 611.3) ** 2 + (y - 402.8) ** 2) / (2 * 9.0**2))
    pixels = np.repeat(np.round(grey).astype(np.uint8)[:, :, None], 3, axis=2)
    placement = place(Box(570, 330, 90, 110), RULE, roll)
    crop = cut(Image(pixels, 1200, 1000), placement)[:, :, 0].astype(float)
    spots = np.arange(CROP_SIDE) + 0.5
    got = crop.sum(axis=0) @ spots / crop.sum(), crop.sum(axis=1) @ spots / crop.sum()
    back = placement.crop_to_photo() @ (*got, 0, 1)
    np.testing.assert_allclose(back[:2], (611.3, 402.8), atol=0.05)


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("pixel", [0.6, 1.0, 2.7])
def test_a_quarter_turned_photo_gives_the_same_crop(quarter: int, pixel: float) -> None:
    upright = photo()
    placement = Placement(-30, 20, pixel)
    pixels = np.ascontiguousarray(np.rot90(upright.pixels, quarter))
    height, width = pixels.shape[:2]
    half = pixel * CROP_SIDE / 2
    across, down = turned(
        placement.left + half - WIDTH / 2, placement.top + half - HEIGHT / 2, 90 * quarter
    )
    lying = Placement(width / 2 + across - half, height / 2 + down - half, pixel, 90.0 * quarter)
    expected, got = cut(upright, placement), cut(Image(pixels, width, height), lying)
    assert np.abs(expected.astype(int) - got).max() <= 2
    points = seeded(3).uniform(0, CROP_SIDE, (50, 3)).astype(np.float32)
    one, other = placement.frame(WIDTH, HEIGHT), lying.frame(width, height)
    np.testing.assert_allclose(other.inside(points), one.inside(points), atol=1e-3)


@pytest.mark.parametrize("roll", ROLLS)
def test_the_rule_is_applied_along_the_head(roll: float) -> None:
    box = Box(100, 120, 40, 60)
    upright, lying = place(box, RULE), place(box, RULE, roll)
    assert (lying.pixel, lying.roll) == (upright.pixel, roll)
    middle = np.array([120, 150])
    anchor = [CROP_SIDE / 2, RULE.anchor, 0, 1]
    off = (upright.crop_to_photo() @ anchor)[:2] - middle
    np.testing.assert_allclose(off, (0, 6), atol=1e-9)
    got = (lying.crop_to_photo() @ anchor)[:2] - middle
    np.testing.assert_allclose(got, turned(0, 6, roll), atol=1e-9)


@pytest.mark.parametrize("roll", ROLLS)
def test_a_mesh_is_in_the_axes_of_the_photo(roll: float) -> None:
    surface = sphere()
    crop = seeded(7).integers(0, 256, (CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)
    frame = Placement(-5, 3, 1.0, roll).frame(150, 400)
    mesh = apply_appearance(surface, Appearance.VERTEX_COLOURS, crop, frame)
    matrix = crop_to_mesh(roll)
    expected = surface.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(mesh.positions, expected, atol=1e-6)
    outwards = np.einsum("ij,ij->i", mesh.normals, mesh.positions)
    assert (outwards > 0).all()
    assert np.array_equal(mesh.triangles, surface.triangles)
    assert mesh.colours is not None
    assert np.array_equal(mesh.colours, vertex_colours(surface, crop, frame))


@pytest.mark.parametrize("roll", ROLLS)
def test_the_pose_is_about_the_axes_of_the_photo(roll: float) -> None:
    frontal = np.array([[6, 0, 0, 96], [0, -6, 0, 96], [0, 0, -6, 50]], np.float32)
    assert angles(frontal, roll) == pytest.approx((0, 0, roll), abs=1e-4) or roll == 180
    axes = np.diag([1.0, -1.0, -1.0])
    aside = axes @ np.linalg.qr(seeded(2).normal(size=(3, 3)))[0]
    pose = np.c_[aside, [96, 96, 50]].astype(np.float32)
    turned_pose = pose.copy()
    turned_pose[:, :3] = axes @ about_z(roll)[:3, :3] @ axes @ aside
    assert angles(pose, roll) == pytest.approx(angles(turned_pose), abs=1e-3)
