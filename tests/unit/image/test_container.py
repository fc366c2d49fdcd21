"""HEIC and AVIF are read like the other formats; what cannot be read is named."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow

from protome.errors import BrokenImage, ImageTooLarge, ProtomeError, UnsupportedFormat
from protome.image.container import FORMATS, format_of
from protome.image.decode import ImageLimits, decode
from tests.support.shapes import seeded
from tests.unit.image.pictures import RGB, STORED, picture, read, save

# The name in Pillow, and options that keep the colours.
NEW: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "HEIC": ("HEIF", {"quality": 95, "chroma": 444}),
    "AVIF": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
}


def made(name: str, source: Pillow.Image = RGB, **options: Any) -> bytes:
    format_, quality = NEW[name]
    return save(source, format_, **{**quality, **options})


def assert_near(got: np.ndarray, expected: np.ndarray, most: float = 12) -> None:
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= most


@pytest.mark.parametrize("name", NEW)
def test_colour_pictures(name: str) -> None:
    data = made(name)
    assert format_of(data) == name
    got = read(data)
    assert (got.width, got.height, got.step) == (96, 64, 1)
    assert_near(got.pixels, picture())


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("orientation", STORED)
def test_they_are_turned_upright_once(name: str, orientation: int) -> None:
    """The container says how; the EXIF block says it too, and does not count again."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored = Pillow.fromarray(np.ascontiguousarray(STORED[orientation](picture())))
    # As bytes: only then the encoder of HEIC turns the picture.
    data = made(name, stored, exif=exif.tobytes())
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    assert_near(read(data).pixels, picture())


@pytest.mark.parametrize("name", NEW)
def test_transparency_lies_over_white(name: str) -> None:
    rgba = RGB.convert("RGBA")
    rgba.putalpha(Pillow.linear_gradient("L").resize(RGB.size))
    white = Pillow.new("RGB", RGB.size, (255, 255, 255))
    white.paste(RGB, mask=rgba.getchannel("A"))
    assert_near(read(made(name, rgba)).pixels, np.asarray(white), 16)


@pytest.mark.parametrize("name", NEW)
def test_large_ones_are_reduced_by_whole_factors(name: str) -> None:
    large = Pillow.fromarray(picture(800, 600))
    got = read(made(name, large), enough=390)
    assert (got.width, got.height, got.step) == (800, 600, 2)
    assert_near(got.pixels, np.asarray(large.reduce(2)))


def test_grey_and_deep_heic() -> None:
    grey = Pillow.fromarray(np.asarray(RGB.convert("L")))
    assert_near(read(made("HEIC", grey)).pixels, np.asarray(grey.convert("RGB")))
    wide = np.asarray(picture().astype(np.uint16) << 8)
    file = io.BytesIO()
    heif = pillow_heif.from_bytes("RGB;16", (96, 64), wide.tobytes())
    heif.save(file, quality=95, chroma=444)
    assert_near(read(file.getvalue()).pixels, picture())


def test_a_phones_heic_is_made_of_tiles() -> None:
    large = Pillow.fromarray(picture(1200, 900))
    data = made("HEIC", large, tile_size=512)
    assert data.count(b"hvc1") > 3
    assert_near(read(data).pixels, picture(1200, 900))


def test_the_primary_picture_counts() -> None:
    other = Pillow.new("RGB", (200, 100), (0, 255, 0))
    data = made("HEIC", RGB, save_all=True, append_images=[other])
    assert_near(read(data).pixels, picture())
    turned = Pillow.fromarray(picture()[::-1].copy())
    assert_near(read(made("AVIF", RGB, save_all=True, append_images=[turned])).pixels, picture())


def test_their_limits() -> None:
    limits = ImageLimits(1 << 20, 96 * 64, 96 * 64 - 1)
    assert decode(made("HEIC"), limits, enough=99).width == 96
    with pytest.raises(ImageTooLarge) as error:
        decode(made("AVIF"), limits, enough=99)
    assert error.value.facts["max_unscaled_pixels"] == "6143"
    with pytest.raises(ImageTooLarge) as error:
        read(made("HEIC"), max_pixels=96 * 64 - 1)
    assert error.value.facts == {"width": "96", "height": "64", "max_image_pixels": "6143"}


@pytest.mark.parametrize("name", NEW)
def test_damaged_ones_are_refused_or_read(name: str) -> None:
    data, rng = made(name), seeded(len(name))
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(BrokenImage) as error:
            read(data[: int(share * len(data))])
        assert error.value.facts == {"format": name}
        assert name in error.value.message
    for _ in range(60):
        damaged = bytearray(data)
        for spot in rng.integers(0, len(data), 3):
            damaged[spot] = int(rng.integers(256))
        try:
            assert read(bytes(damaged), max_pixels=1 << 20).pixels.shape[2] == 3
        except ProtomeError:
            continue


WITHOUT: Final = """
import sys
sys.modules["pillow_heif"] = None
from protome.errors import UnsupportedFormat
from tests.unit.image.pictures import read
try:
    read(sys.stdin.buffer.read())
except UnsupportedFormat as error:
    print(error.message, error.facts["format"], error.facts["install"], sep="|")
"""


def test_a_missing_decoder_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], input=made("HEIC"), capture_output=True, check=True
    )
    message, format_, package = done.stdout.decode().strip().split("|")
    assert (format_, package) == ("HEIC", "pillow-heif")
    assert "is a HEIC picture" in message
    assert "install pillow-heif" in message


def test_pillow_without_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    with pytest.raises(UnsupportedFormat, match="install Pillow with AVIF support") as error:
        read(made("AVIF"))
    assert error.value.facts["format"] == "AVIF"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("face.jpg", save(RGB, "JPEG"))
    return file.getvalue()


OTHERS: Final[dict[str, Callable[[], bytes]]] = {
    "TIFF": lambda: save(RGB, "TIFF"),
    "GIF": lambda: save(RGB, "GIF"),
    "BMP": lambda: save(RGB, "BMP"),
    "JPEG XL": lambda: b"\xff\x0a" + bytes(99),
    "JPEG XL ": lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99),
    "JPEG 2000": lambda: save(RGB, "JPEG2000"),
    "ICO": lambda: save(RGB, "ICO"),
    "PNM": lambda: save(RGB, "PPM"),
    "PDF": lambda: save(RGB, "PDF"),
    "SVG": lambda: (
        b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg xmlns='http://www.w3.org/2000/svg'/>"
    ),
    "HTML": lambda: b"\n<!DOCTYPE html><html><body>404</body></html>",
    "video": lambda: b"\0\0\0\x20ftypisom" + bytes(99),
    "CR3": lambda: b"\0\0\0\x18ftypcrx " + bytes(99),
    "raw": lambda: b"FUJIFILMCCD-RAW 0201" + bytes(99),
    "Photoshop": lambda: b"8BPS\0\1" + bytes(99),
    "ZIP": zipped,
    "base64": lambda: b"/9j/4AAQSkZJRgABAQAAAQABAAD",
    "GLB": lambda: b"glTF\2\0\0\0" + bytes(99),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named(name: str) -> None:
    with pytest.raises(UnsupportedFormat) as error:
        read(OTHERS[name]())
    assert name.strip() in error.value.facts["found"]
    assert error.value.facts["found"] in error.value.message
    assert error.value.facts["formats"] == ",".join(FORMATS)
    assert all(format_ in error.value.message for format_ in FORMATS)


def test_a_tga_is_not_taken_for_an_icon() -> None:
    with pytest.raises(UnsupportedFormat) as error:
        read(save(RGB, "TGA"))
    assert "found" not in error.value.facts


@pytest.mark.parametrize(
    "data", [b"\0" * 4096, b"x", b"RIFF", b"\0\0\0\x18ftyp", bytes(range(256))]
)
def test_unknown_bytes_have_no_name(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat) as error:
        read(data)
    assert "found" not in error.value.facts or "video" in error.value.facts["found"]
