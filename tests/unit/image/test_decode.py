"""bytes → image: every format, upright, within the limits; hostile files only give our errors."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import psutil
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from protome.errors import (
    BrokenImage,
    ImageTooLarge,
    InvalidRequest,
    ProtomeError,
    UnsupportedFormat,
)
from protome.geometry import U8
from protome.image.decode import Image, ImageLimits, decode
from tests.support.shapes import seeded

LIMIT: Final = 50_000_000


def read(data: bytes, enough: int = 1600, max_pixels: int = LIMIT) -> Image:
    return decode(data, ImageLimits(1 << 24, max_pixels, max_pixels), enough=enough)


def picture(width: int = 96, height: int = 64) -> U8:
    """Smooth, and different in every corner and channel, so that turns and swaps show."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([30 + 200 * x, 20 + 150 * y, 220 - 120 * x * y], axis=2)
    return np.round(rgb).astype(np.uint8)


def grey_of(pixels: U8) -> U8:
    return np.asarray(Pillow.fromarray(pixels).convert("L"))


def save(source: Pillow.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    source.save(file, format_, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + check


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def assert_close(got: Image, expected: U8, tolerance: float) -> None:
    assert got.pixels.dtype == np.uint8
    assert got.pixels.shape == expected.shape
    assert (got.height, got.width) == expected.shape[:2]
    off = np.abs(got.pixels.astype(int) - expected.astype(int))
    assert off.max() <= tolerance, f"off by up to {off.max()}"


RGB: Final = Pillow.fromarray(picture())
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


# What a camera stores for an upright picture at each orientation (EXIF 2.32, tag 0x0112).
STORED: Final[dict[int, Callable[[U8], U8]]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p.transpose(1, 0, 2), 2),
    8: lambda p: np.rot90(p, -1),
}


def with_orientation(orientation: int, pixels: U8, format_: str = "JPEG") -> bytes:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Pillow.fromarray(np.ascontiguousarray(STORED[orientation](pixels)))
    options: dict[str, object] = {"quality": 97, "subsampling": "4:4:4"}
    if format_ != "JPEG":
        options = {"lossless": True} if format_ == "WEBP" else {}
    return save(stored, format_, exif=exif, **options)


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


@pytest.mark.parametrize("size", [(9000, 20), (20, 9000), (3201, 17), (65000, 16), (16, 65000)])
def test_a_very_long_jpeg_is_decoded(size: tuple[int, int]) -> None:
    got = read(save(Pillow.new("RGB", size, (9, 99, 199)), "JPEG"))
    assert (got.width, got.height) == size
    assert np.abs(got.pixels.astype(int) - (9, 99, 199)).max() <= LOSSY


def test_a_png_with_a_wrong_checksum_of_its_pixels_is_broken() -> None:
    data = bytearray(save(Pillow.new("RGB", (64, 64), (9, 99, 199)), "PNG"))
    length_at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[length_at : length_at + 4])
    read(bytes(data))
    data[length_at + 8 + length] ^= 1
    with pytest.raises(BrokenImage, match="checksum"):
        read(bytes(data))


def test_no_bytes_are_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest) as error:
        read(b"")
    assert error.value.facts == {"field": "image"}


def test_too_many_bytes() -> None:
    with pytest.raises(ImageTooLarge) as error:
        decode(bytes(11), ImageLimits(10, LIMIT, LIMIT), enough=1600)
    assert error.value.facts == {"bytes": "11", "max_image_bytes": "10"}


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_the_pixel_limit_is_exact(format_: str) -> None:
    data = save(RGB, format_)
    assert read(data, max_pixels=96 * 64).width == 96
    with pytest.raises(ImageTooLarge) as error:
        read(data, max_pixels=96 * 64 - 1)
    assert error.value.facts == {"width": "96", "height": "64", "max_image_pixels": "6143"}


@pytest.mark.parametrize("size", [(15, 64), (64, 15), (1, 1)])
def test_pictures_below_sixteen_pixels_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidRequest) as error:
        read(save(Pillow.new("RGB", size), "PNG"))
    assert error.value.facts["min_side"] == "16"
    assert read(save(Pillow.new("RGB", (16, 16)), "PNG")).width == 16


def huge_jpeg() -> bytes:
    data = bytearray(save(RGB, "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


def huge_webp() -> bytes:
    data = bytearray(save(Pillow.new("RGBA", (96, 64), (1, 2, 3, 4)), "WEBP"))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16382).to_bytes(3, "little") * 2
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [png(60000, 60000, 8, 2, b""), huge_jpeg(), huge_webp()],
    ids=["PNG", "JPEG", "WebP"],
)
def test_a_huge_size_is_refused_from_the_header_alone(data: bytes) -> None:
    with pytest.raises(ProtomeError):
        read(data)  # Warms the decoder up.
    process, errors = psutil.Process(), []
    tracemalloc.start()
    before, began = process.memory_info().rss, time.perf_counter()
    for _ in range(5):
        with pytest.raises((ImageTooLarge, BrokenImage)) as error:
            read(data)
        errors.append(error.value)
    seconds, grown = time.perf_counter() - began, process.memory_info().rss - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 2 << 20
    assert grown < 32 << 20
    if data[:4] != b"RIFF":  # libwebp itself refuses the mismatch of canvas and frame.
        assert all(isinstance(e, ImageTooLarge) for e in errors)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PDF"])
def test_other_picture_formats_are_unsupported(format_: str) -> None:
    with pytest.raises(UnsupportedFormat) as error:
        read(save(RGB, format_))
    assert error.value.facts == {"formats": "JPEG,PNG,WebP"}


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "Grüß Gott, hier ist kein Bild".encode(),
        b"\0" * 4096,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"x",
    ],
    ids=["SVG", "text", "zeros", "EPS", "one byte"],
)
def test_other_bytes_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        read(data)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_broken(format_: str, share: float) -> None:
    noisy = Pillow.fromarray(seeded(5).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    data = save(noisy, format_, exif=b"") if format_ == "JPEG" else save(noisy, format_)
    with pytest.raises((BrokenImage, UnsupportedFormat)):
        read(data[: int(len(data) * share)])


def test_a_broken_picture_names_its_format() -> None:
    data = save(RGB, "PNG")
    with pytest.raises(BrokenImage) as error:
        read(data[: len(data) // 2])
    assert error.value.facts == {"format": "PNG"}


ORIGINALS: Final = {
    "baseline JPEG": save(RGB, "JPEG"),
    "progressive JPEG": save(RGB, "JPEG", progressive=True),
    "PNG": save(RGB, "PNG"),
    "palette PNG": save(RGB.quantize(16), "PNG"),
    "turned JPEG": with_orientation(6, picture()),
    "lossy WebP": save(RGB, "WEBP", quality=80),
    "lossless WebP": save(Pillow.fromarray(np.dstack([picture()] * 2)[:, :, :4]), "WEBP"),
}


def corrupt(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, overwrite, cut out, double or move pieces."""
    out = bytearray(data)
    # Headers are the most interesting part: half of the damage goes there.
    reach = len(out) if rng.random() < 0.5 else min(len(out), 80)
    for _ in range(int(rng.integers(1, 6))):
        spot = int(rng.integers(reach))
        kind = int(rng.integers(5))
        length = int(rng.integers(1, 24))
        if kind == 0:
            out[spot] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[spot : spot + length] = rng.bytes(len(out[spot : spot + length]))
        elif kind == 2:
            del out[spot : spot + length]
        elif kind == 3:
            out[spot:spot] = out[spot : spot + length]
        else:
            out[spot : spot + 4] = b"\xff\xff\xff\xff"
        reach = max(1, min(reach, len(out)))
    return bytes(out)


@pytest.mark.parametrize("name", ORIGINALS)
def test_corrupted_files_give_a_picture_or_our_error(name: str) -> None:
    rng = seeded(len(name))
    for _ in range(80):
        data = corrupt(ORIGINALS[name], rng)
        began = time.perf_counter()
        with contextlib.suppress(ProtomeError):
            got = read(data, max_pixels=4_000_000)
            assert got.pixels.shape[2] == 3
            assert got.pixels.dtype == np.uint8
            assert got.width * got.height <= 4_000_000
        assert time.perf_counter() - began < 5


def fix_png_checksums(data: bytes) -> bytes:
    out, spot = bytearray(data[:8]), 8
    while spot + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, spot)
        out += chunk(data[spot + 4 : spot + 8], data[spot + 8 : spot + 8 + length])
        spot += 12 + length
    return bytes(out)


def test_pngs_with_wrong_contents_under_right_checksums() -> None:
    rng = seeded(77)
    for _ in range(80):
        data = bytearray(ORIGINALS["PNG"])
        data[int(rng.integers(16, len(data)))] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(ProtomeError):
            read(fix_png_checksums(bytes(data)), max_pixels=4_000_000)


# A ramp of 16 x 16 by cjpeg -arithmetic -quality 90: its tables, then its frame and scan.
ARITHMETIC: Final = (
    "ffd8ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a0b0b0d0e12100d0e"
    "110e0b0b1016101113141515150c0f171816141812141514",
    "ffc9000b080010001001011100ffcc000600101005ffda0008010100003f00ff00dc1bde381304ad1d1138ce2db601"
    "d699ce10cf215adbe79ee67fffd9",
)


@pytest.mark.parametrize("before", range(1 << 16, (1 << 16) - 80, -11))
def test_arithmetic_coding_is_read_wherever_it_lies(before: int) -> None:
    """Its decoder cannot wait for more in the middle of a scan; Pillow reads 64 KiB at a time."""
    start, rest = map(bytes.fromhex, ARITHMETIC)
    table = start[2:]
    # Tables, and more of 0xFF than need be before a marker.
    tables, fill = divmod(before - len(start) - len(rest) + 60, len(table))
    data = start + table * tables + b"\xff" * fill + rest
    plain = read(start + rest)
    assert plain.pixels.std() > 50
    assert np.array_equal(read(data).pixels, plain.pixels)
