"""faces → crops: the matrix and the pixels agree to a fraction of a pixel."""

from __future__ import annotations

import io
import time

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFilter
from skimage import data

from protome.geometry import (
    CROP_DEPTH,
    CROP_SIDE,
    F64,
    METRES_PER_PIXEL,
    U8,
    Box,
    CropRule,
    Placement,
    crop_to_mesh,
    place,
)
from protome.image.crop import blur_effect, cut
from protome.image.decode import Image
from protome.model.card import Model
from protome.pipeline.concerns import BLURRY
from tests.support.shapes import seeded

PLACEMENTS = [
    Placement(0.0, 0.0, 1.0),
    Placement(37.25, 12.5, 0.31),
    Placement(-20.6, 35.4, 1.7),
    Placement(-300.0, -220.0, 4.9),
]


def crop_to_photo(placement: Placement) -> F64:
    return placement.mesh_to_photo() @ crop_to_mesh()


def point(matrix: F64, x: float, y: float, z: float) -> F64:
    result: F64 = (matrix @ np.array([x, y, z, 1.0]))[:3]
    return result


def test_the_crops_centre_is_the_meshs_origin() -> None:
    middle = point(crop_to_mesh(), CROP_SIDE / 2, CROP_SIDE / 2, CROP_DEPTH / 2)
    np.testing.assert_allclose(middle, 0, atol=1e-12)


def test_mesh_axes_are_right_up_and_to_the_camera_in_metres() -> None:
    matrix = crop_to_mesh()
    origin = point(matrix, 0, 0, 0)
    steps = [point(matrix, *axis) - origin for axis in np.eye(3)]
    m = METRES_PER_PIXEL
    np.testing.assert_allclose(steps, np.diag([m, -m, -m]), atol=1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS, ids=repr)
def test_the_matrix_takes_the_crops_corners_to_their_photo_pixels(placement: Placement) -> None:
    matrix = crop_to_photo(placement)
    for x, y in [(0, 0), (CROP_SIDE, 0), (0, CROP_SIDE), (CROP_SIDE, CROP_SIDE), (96, 96)]:
        expected = placement.left + placement.pixel * x, placement.top + placement.pixel * y
        np.testing.assert_allclose(point(matrix, x, y, 3)[:2], expected, atol=1e-9)
    # Depth: zero in the middle of the range, towards the camera, in photo pixels.
    assert point(matrix, 0, 0, CROP_DEPTH / 2)[2] == pytest.approx(0, abs=1e-9)
    assert point(matrix, 0, 0, 0)[2] == pytest.approx(placement.pixel * CROP_DEPTH / 2)


@pytest.mark.parametrize("placement", PLACEMENTS, ids=repr)
def test_the_matrix_turns_right_handed_into_left_handed(placement: Placement) -> None:
    matrix = placement.mesh_to_photo()
    assert np.linalg.det(matrix[:3, :3]) < 0
    np.testing.assert_array_equal(matrix[3], (0, 0, 0, 1))
    scales = np.abs(np.diag(matrix)[:3])
    np.testing.assert_allclose(scales, scales[0])


def test_the_rule_places_a_box() -> None:
    placement = place(Box(100, 200, 40, 90), CropRule(side=2.0, drop=0.1, anchor=100.0))
    assert placement.pixel * CROP_SIDE == pytest.approx(2.0 * np.sqrt(40 * 90))
    matrix = crop_to_photo(placement)
    np.testing.assert_allclose(
        point(matrix, CROP_SIDE / 2, 100.0, 0)[:2], (120, 200 + 45 + 9), atol=1e-9
    )


def test_the_shipped_rule_takes_in_the_whole_head(model: Model) -> None:
    placement = place(Box(0, 0, 88, 110), model.rule)
    side = placement.pixel * CROP_SIDE
    assert placement.left < -0.2 * side
    assert placement.left + side > 88 + 0.2 * side
    assert placement.top < -0.15 * side
    assert placement.top + side > 110


def dot(width: int, height: int, x: float, y: float, sigma: float) -> U8:
    """A soft dot centred at (x, y) in photo coordinates."""
    across = np.exp(-0.5 * ((np.arange(width) + 0.5 - x) / sigma) ** 2)
    down = np.exp(-0.5 * ((np.arange(height) + 0.5 - y) / sigma) ** 2)
    grey = np.round(255 * down[:, None] * across[None, :]).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def centroid(crop: U8) -> tuple[float, float]:
    """In crop coordinates whatever the crop's resolution."""
    weight = crop[:, :, 0].astype(np.float64)
    spots = (np.arange(crop.shape[0]) + 0.5) * CROP_SIDE / crop.shape[0]
    return (
        float((weight.sum(axis=0) * spots).sum() / weight.sum()),
        float((weight.sum(axis=1) * spots).sum() / weight.sum()),
    )


@pytest.mark.parametrize("side", [104, 208, 256, 512])
@pytest.mark.parametrize("pixel", [0.4, 1.0, 1.9, 4.3])
def test_a_dot_lands_where_the_matrix_says(pixel: float, side: int) -> None:
    x, y = 611.3, 402.8
    photo = dot(1200, 1000, x, y, sigma=6 * pixel)
    placement = Placement(x - 101.7 * pixel, y - 77.2 * pixel, pixel)
    got = centroid(cut(Image(photo, 1200, 1000), placement, side))
    np.testing.assert_allclose(got, (101.7, 77.2), atol=0.05)
    mesh = point(crop_to_mesh(), got[0], got[1], 0)
    back = point(placement.mesh_to_photo(), *mesh)
    np.testing.assert_allclose(back[:2], (x, y), atol=0.05 * pixel)


@pytest.mark.parametrize("reduction", [2, 4])
def test_a_reduced_photo_gives_the_same_crop(reduction: int) -> None:
    x, y, pixel = 611.3, 402.8, 4.3
    photo = dot(1200, 1000, x, y, sigma=26)
    blocks = photo.reshape(1000 // reduction, reduction, 1200 // reduction, reduction, 3)
    small = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    placement = Placement(x - 90 * pixel, y - 90 * pixel, pixel)
    full = cut(Image(photo, 1200, 1000), placement)
    reduced = cut(Image(small, 1200, 1000, reduction), placement)
    np.testing.assert_allclose(centroid(reduced), centroid(full), atol=0.02)
    assert np.abs(full.astype(int) - reduced).max() <= 3


@pytest.mark.parametrize("pixel", [0.5, 1.0, 3.0])
def test_a_gradient_stays_on_its_values(pixel: float) -> None:
    width, height = 800, 700
    ramp = np.linspace(10, 250, width)
    photo = np.repeat(np.repeat(np.round(ramp)[None, :, None], height, 0), 3, 2).astype(np.uint8)
    placement = Placement(60.25, 40.5, pixel)
    crop = cut(Image(photo, width, height), placement)
    spots = placement.left + pixel * (np.arange(CROP_SIDE) + 0.5)
    expected = np.interp(spots - 0.5, np.arange(width), ramp)
    assert np.abs(crop[96, :, 0] - expected).max() <= 1.0


def test_an_unscaled_whole_pixel_crop_is_an_exact_copy() -> None:
    photo = seeded(4).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    crop = cut(Image(photo, 400, 300), Placement(51, 33, 1.0))
    np.testing.assert_array_equal(crop, photo[33 : 33 + CROP_SIDE, 51 : 51 + CROP_SIDE])


@pytest.mark.parametrize("pixel", [0.5, 1.0, 2.5])
def test_outside_of_the_photo_the_crop_is_black(pixel: float) -> None:
    photo = np.full((300, 400, 3), 200, np.uint8)
    placement = Placement(-40 * pixel, 300 - 100 * pixel, pixel)
    crop = cut(Image(photo, 400, 300), placement)
    assert (crop[:, :39] == 0).all()
    assert (crop[101:] == 0).all()
    assert (crop[:99, 41:120] == 200).all()


@pytest.mark.parametrize(
    "placement",
    [
        Placement(5000, 0, 1),
        Placement(0, -5000, 1),
        Placement(-1e6, -1e6, 3),
        Placement(1e12, 0, 1),
    ],
    ids=repr,
)
def test_a_crop_far_outside_is_all_black(placement: Placement) -> None:
    crop = cut(Image(np.full((300, 400, 3), 200, np.uint8), 400, 300), placement)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    assert not crop.any()


@pytest.mark.parametrize("pixel", [2.2, 2.9, 5.0])
def test_fine_detail_is_averaged_not_aliased(pixel: float) -> None:
    board = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    photo = np.repeat(board[:, :, None], 3, axis=2)
    crop = cut(Image(photo, 1200, 1200), Placement(13.3, 21.7, pixel))
    assert np.abs(crop.astype(int) - 127).max() < 25


@pytest.mark.parametrize("size", [(6000, 60), (60, 6000), (3000, 2000)])
def test_the_largest_box_of_a_large_photo_is_cut_in_no_time(size: tuple[int, int]) -> None:
    """The largest that ``faces_from_boxes`` accepts; slow cuts would let a client hold a worker."""
    width, height = size
    photo = np.full((height, width, 3), 90, np.uint8)
    side = max(size) * 4 * 2.06
    placement = Placement(width / 2 - side / 2, height / 2 - side / 2, side / CROP_SIDE)
    began = time.process_time()
    crop = cut(Image(photo, width, height), placement)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    assert time.process_time() - began < 0.6


def test_a_crop_of_a_fraction_of_a_pixel() -> None:
    photo = seeded(6).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    crop = cut(Image(photo, 60, 50), Placement(20.1, 20.1, 1e-4))
    assert np.ptp(crop.reshape(-1, 3), axis=0).max() <= 12


def sharp_face() -> U8:
    head = data.astronaut()[0:192, 128:320]  # type: ignore[no-untyped-call]
    # A crop has more room above and beside the head.
    return np.asarray(np.pad(head, ((16, 0), (8, 8), (0, 0)), mode="edge"), np.uint8)


def test_blur_is_told_from_sharp_and_from_low_contrast() -> None:
    face = sharp_face()
    soft = np.asarray(cv2.GaussianBlur(face, (0, 0), 3), np.uint8)
    pale = (face // 4 + 96).astype(np.uint8)
    assert blur_effect(face) < 0.7
    assert blur_effect(pale) < 0.74
    assert blur_effect(soft) > 0.8
    assert 0 <= blur_effect(np.zeros_like(face)) <= 1


def test_a_heavier_blur_is_never_told_from_a_lighter_one_as_sharp() -> None:
    """Down to pictures of which only steps between levels and blocks of the codec are left."""
    large = Pillow.fromarray(sharp_face()).resize((832, 832))
    effects = []
    for sigma in (0, 4, 8, 16, 24, 32, 48):
        blurred = large.filter(ImageFilter.GaussianBlur(sigma))
        file = io.BytesIO()
        blurred.save(file, "JPEG", quality=93)
        effects.append(blur_effect(np.asarray(Pillow.open(file).reduce(4))))
    assert effects[0] < 0.7
    blurred_from = next(i for i, effect in enumerate(effects) if effect > BLURRY)
    assert all(effect > BLURRY for effect in effects[blurred_from:])
    assert np.diff(effects[:4]).min() > 0
