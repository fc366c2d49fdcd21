"""bytes → image: every format, upright, within the limits; hostile files only give our errors."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from protome.errors import (
    ImageTooLarge,
)
from protome.geometry import U8
from protome.image.decode import STRIP, Image, ImageLimits, decode
from tests.unit.image.pictures import RGB, STORED, picture, png, read, save, with_orientation


def grey_of(pixels: U8) -> U8:
    return np.asarray(Pillow.fromarray(pixels).convert("L"))


def assert_close(got: Image, expected: U8, tolerance: float) -> None:
    assert got.pixels.dtype == np.uint8
    assert got.pixels.shape == expected.shape
    assert (got.height, got.width) == expected.shape[:2]
    off = np.abs(got.pixels.astype(int) - expected.astype(int))
    assert off.max() <= tolerance, f"off by up to {off.max()}"


LOSSY: Final = 12


@pytest.mark.parametrize(
    ("format_", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("PNG", {"optimize": True}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, LOSSY),
        ("JPEG", {"quality": 95}, LOSSY),
        ("JPEG", {"quality": 95, "progressive": True}, LOSSY),
        ("JPEG", {"quality": 95, "subsampling": "4:4:4"}, LOSSY),
        ("MPO", {"quality": 95}, LOSSY),
    ],
)
def test_colour_pictures_of_every_format(
    format_: str, options: dict[str, object], tolerance: float
) -> None:
    assert_close(read(save(RGB, format_, **options)), picture(), tolerance)


@pytest.mark.parametrize("height", [STRIP, STRIP + 1, 2 * STRIP, 2 * STRIP + 100])
def test_pictures_of_several_strips_are_whole(height: int) -> None:
    rows = np.arange(height * 16 * 3).reshape(height, 16, 3) % 251
    expected = rows.astype(np.uint8)
    assert_close(read(save(Pillow.fromarray(expected), "PNG"), enough=2 * height), expected, 0)


def test_a_phones_mpo_gives_its_first_picture() -> None:
    second = Pillow.new("RGB", (96, 64), (0, 255, 0))
    data = save(RGB, "MPO", save_all=True, append_images=[second], quality=95)
    assert Pillow.open(io.BytesIO(data)).format == "MPO"
    assert_close(read(data), picture(), LOSSY)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_grey_becomes_three_equal_channels(format_: str) -> None:
    grey = grey_of(picture())
    got = read(save(Pillow.fromarray(grey), format_))
    assert_close(got, np.repeat(grey[:, :, None], 3, axis=2), 0 if format_ == "PNG" else LOSSY)
    assert (got.pixels == got.pixels[:, :, :1]).all()


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    wide = np.linspace(0, 65535, 64 * 96).reshape(64, 96).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    got = read(png(96, 64, 16, 0, rows))
    expected = np.repeat((wide.astype(np.int64) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    assert_close(got, expected, 1)


def test_sixteen_bit_colour() -> None:
    wide = (picture().astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    assert_close(read(png(96, 64, 16, 2, rows)), picture(), 1)


def test_sixteen_bit_grey_with_alpha() -> None:
    grey = np.repeat((grey_of(picture()).astype(np.uint16) * 257)[:, :, None], 2, axis=2)
    grey[:, :, 1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    expected = np.repeat(grey_of(picture())[:, :, None], 3, axis=2)
    assert_close(read(png(96, 64, 16, 4, rows)), expected, 1)


def test_one_bit_black_and_white() -> None:
    bits = Pillow.fromarray(grey_of(picture()) > 128)
    got = read(save(bits, "PNG"))
    assert set(np.unique(got.pixels)) == {0, 255}


def over_white(pixels: U8, alpha: U8) -> U8:
    share = alpha[:, :, None] / 255
    return np.round(pixels * share + 255 * (1 - share)).astype(np.uint8)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_transparency_lies_over_white(format_: str) -> None:
    alpha = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    rgba = np.dstack([picture(), alpha])
    options: dict[str, object] = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    data = save(Pillow.fromarray(rgba), format_, **options)
    assert_close(read(data), over_white(picture(), alpha), 1)


def test_grey_with_alpha_lies_over_white() -> None:
    grey = grey_of(picture())
    alpha = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    data = save(Pillow.fromarray(np.dstack([grey, alpha])), "PNG")
    expected = over_white(np.repeat(grey[:, :, None], 3, axis=2), alpha)
    assert_close(read(data), expected, 1)


def test_palette_with_a_transparent_entry() -> None:
    indexed = np.zeros((64, 96), np.uint8)
    indexed[:, 48:] = 1
    paletted = Pillow.fromarray(indexed, "P")
    paletted.putpalette([200, 10, 20, 0, 0, 0])
    got = read(save(paletted, "PNG", transparency=1))
    assert tuple(got.pixels[5, 5]) == (200, 10, 20)
    assert tuple(got.pixels[5, 90]) == (255, 255, 255)


def test_colour_key_of_a_truecolour_png_is_transparent() -> None:
    pixels = np.full((64, 96, 3), 40, np.uint8)
    pixels[:, 48:] = (1, 2, 3)
    got = read(save(Pillow.fromarray(pixels), "PNG", transparency=(1, 2, 3)))
    assert tuple(got.pixels[0, 0]) == (40, 40, 40)
    assert tuple(got.pixels[0, 90]) == (255, 255, 255)


def test_cmyk_jpeg_is_not_inverted() -> None:
    assert_close(read(save(RGB.convert("CMYK"), "JPEG", quality=95)), picture(), 2 * LOSSY)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_are_turned_upright(orientation: int, format_: str) -> None:
    got = read(with_orientation(orientation, picture(), format_))
    assert_close(got, picture(), LOSSY if format_ == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [3, 6])
def test_size_and_scale_are_those_after_the_turn(orientation: int) -> None:
    got = read(with_orientation(orientation, picture(640, 320)), enough=150)
    assert (got.width, got.height) == (640, 320)
    assert got.pixels.shape == (80, 160, 3)
    assert (got.step, got.left, got.top) == (4, 0, 0)


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_an_unknown_orientation_is_ignored(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert_close(read(save(RGB, "PNG", exif=exif)), picture(), 0)


def test_a_damaged_exif_block_is_ignored() -> None:
    data = save(RGB, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert_close(read(data), picture(), LOSSY)


@pytest.mark.parametrize(
    ("enough", "shape"),
    [
        (2000, (600, 800)),
        (401, (600, 800)),
        (400, (300, 400)),
        (200, (150, 200)),
        (100, (75, 100)),
        (20, (15, 20)),
    ],
)
def test_jpegs_are_decoded_at_the_smallest_sufficient_scale(
    enough: int, shape: tuple[int, int]
) -> None:
    large = picture(800, 600)
    got = read(save(Pillow.fromarray(large), "JPEG", quality=95), enough=enough)
    assert (got.width, got.height) == (800, 600)
    assert got.pixels.shape[:2] == shape
    step = 800 // shape[1]
    blocks = large.reshape(shape[0], step, shape[1], step, 3).mean(axis=(1, 3))
    assert np.abs(got.pixels - blocks).max() <= LOSSY


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_other_formats_are_reduced_by_whole_factors(format_: str) -> None:
    large = picture(800, 600)
    got = read(save(Pillow.fromarray(large), format_, lossless=True), enough=390)
    assert (got.width, got.height, got.step) == (800, 600, 2)
    blocks = large.reshape(300, 2, 400, 2, 3).mean(axis=(1, 3))
    assert np.abs(got.pixels - blocks).max() <= 1


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_formats_decoded_whole_have_a_limit_of_their_own(format_: str) -> None:
    limits = ImageLimits(1 << 20, 1 << 20, 96 * 64 - 1)
    assert decode(save(RGB, "JPEG"), limits, enough=99).width == 96
    with pytest.raises(ImageTooLarge) as error:
        decode(save(RGB, format_), limits, enough=99)
    assert error.value.facts["max_unscaled_pixels"] == "6143"


@pytest.mark.parametrize("orientation", STORED)
def test_a_reduced_picture_stays_in_place(orientation: int) -> None:
    """A white spot is where it was, also when the sides do not divide and the picture turns."""
    photo = np.zeros((601, 803, 3), np.uint8)
    photo[200:232, 400:432] = 255
    got = read(with_orientation(orientation, photo), enough=100)
    assert got.step == 8
    rows, columns = np.nonzero(got.pixels[:, :, 0] > 60)
    weights = got.pixels[rows, columns, 0].astype(float)
    x = got.left + got.step * (np.average(columns, weights=weights) + 0.5)
    y = got.top + got.step * (np.average(rows, weights=weights) + 0.5)
    assert (x, y) == pytest.approx((416, 216), abs=0.7)


@pytest.mark.parametrize(
    "size", [(9000, 20), (20, 9000), (3201, 17), (65000, 16), (16, 65000), (9000, 25), (25, 9000)]
)
def test_a_very_long_jpeg_is_decoded(size: tuple[int, int]) -> None:
    got = read(save(Pillow.new("RGB", size, (9, 99, 199)), "JPEG"))
    assert (got.width, got.height) == size
    for pixels, side in zip(got.pixels.shape, reversed(size), strict=False):
        assert side <= pixels * got.step < side + got.step
    assert np.abs(got.pixels.astype(int) - (9, 99, 199)).max() <= LOSSY
