"""Files that are refused: limits, other formats, damage."""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from typing import Final

import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from protome.errors import (
    BrokenImage,
    ImageTooLarge,
    InvalidRequest,
    ProtomeError,
    UnsupportedFormat,
)
from protome.image.decode import ImageLimits, decode
from tests.support.shapes import seeded
from tests.unit.image.pictures import LIMIT, RGB, chunk, picture, png, read, save, with_orientation


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
    before, began = process.memory_info().rss, time.process_time()
    for _ in range(5):
        with pytest.raises((ImageTooLarge, BrokenImage)) as error:
            read(data)
        errors.append(error.value)
    seconds, grown = time.process_time() - began, process.memory_info().rss - before
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
    assert error.value.facts["formats"] == "JPEG,PNG,WebP,HEIC,AVIF"


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
        began = time.process_time()
        with contextlib.suppress(ProtomeError):
            got = read(data, max_pixels=4_000_000)
            assert got.pixels.shape[2] == 3
            assert got.pixels.dtype == np.uint8
            assert got.width * got.height <= 4_000_000
        assert time.process_time() - began < 5


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
