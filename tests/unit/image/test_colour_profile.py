"""Embedded ICC profiles: the same colours in whatever space a photo is stored."""

from __future__ import annotations

import io
import zlib
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image as Pillow

from protome.image.colour_profile import MAX_PROFILE_BYTES, embedded_profile, to_srgb
from tests.support.hostile_parts import PNG_HEADER, chunk, segment
from tests.support.profiles import PROFILES, SRGB, converted, grey_profile, rgb_profile
from tests.unit.image.pictures import RGB, picture, read, save

P3: Final = PROFILES["Display P3"]
ICC: Final = b"ICC_PROFILE\0"
CONTAINERS: Final[dict[str, tuple[str, dict[str, Any], float]]] = {
    "JPEG": ("JPEG", {"quality": 97, "subsampling": "4:4:4"}, 6),
    "PNG": ("PNG", {}, 3),
    "WebP": ("WEBP", {"lossless": True}, 3),
    "HEIC": ("HEIF", {"quality": 98, "chroma": 444}, 9),
    "AVIF": ("AVIF", {"quality": 98, "subsampling": "4:4:4"}, 9),
}
IGNORED: Final = {
    "no profile": b"no profile",
    "ends in the header": P3[:100],
    "ends in the list of tags": P3[:200],
    "zeros for tags": P3[:300] + bytes(300),
    "wrong signature": P3.replace(b"acsp", b"abcd"),
    "billions of tags": P3[:128] + b"\xff\xff\xff\xff" + P3[132:],
    "grey": grey_profile(2.2),
    "CMYK": P3.replace(b"RGB ", b"CMYK", 1),
    "no red": P3.replace(b"rXYZ", b"xxxx", 1),
    "over the limit": bytes(MAX_PROFILE_BYTES + 1),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_those_of_srgb(name: str, container: str) -> None:
    format_, options, tolerance = CONTAINERS[container]
    stored = converted(RGB, PROFILES[name])
    got = read(save(stored, format_, icc_profile=PROFILES[name], **options)).pixels
    off = np.abs(got.astype(int) - picture())
    # Wide gamuts have few levels for the same colours, so the errors of a codec are larger.
    assert np.percentile(off, 95) <= 2 * tolerance
    assert off.mean() <= tolerance / 2
    assert np.abs(np.asarray(stored).astype(int) - picture()).mean() > 2 * off.mean()


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("exponent", [1.0, 1.4, 3.0])
def test_grey_profiles(mode: str, exponent: float) -> None:
    grey = np.asarray(RGB.convert("L"))
    linear = np.where(grey <= 10, grey / 255 / 12.92, ((grey / 255 + 0.055) / 1.055) ** 2.4)
    stored = Pillow.fromarray(np.round(255 * linear ** (1 / exponent)).astype(np.uint8)).convert(
        mode
    )
    got = read(save(stored, "PNG", icc_profile=grey_profile(exponent))).pixels
    assert (got == got[:, :, :1]).all()
    bright = grey > 60
    assert np.abs(got[:, :, 0].astype(int) - grey)[bright].max() <= 6
    plain = read(save(stored, "PNG")).pixels
    assert np.abs(plain[:, :, 0].astype(int) - grey)[bright].max() > 12


def test_transparency_stays_with_a_profile() -> None:
    rgba = converted(RGB, P3)
    rgba.putalpha(Pillow.linear_gradient("L").resize(RGB.size))
    white = Pillow.new("RGB", RGB.size, (255, 255, 255))
    white.paste(RGB, mask=rgba.getchannel("A"))
    got = read(save(rgba, "PNG", icc_profile=P3)).pixels
    assert np.abs(got.astype(int) - np.asarray(white)).max() <= 6


def test_a_palette_has_the_colours_of_the_profile() -> None:
    stored = Pillow.new("RGB", (64, 64), (200, 60, 40)).quantize(4)
    plain, wide = (read(save(stored, "PNG", icc_profile=p)).pixels for p in (b"", P3))
    assert wide[0, 0, 0] > plain[0, 0, 0] + 5


def test_a_reduced_photo_is_converted() -> None:
    large = Pillow.new("RGB", (1600, 1200), (200, 60, 40))
    got = read(save(large, "JPEG", icc_profile=P3, quality=95), enough=400)
    assert got.step == 4
    expected = to_srgb(large, P3).getpixel((0, 0))
    assert np.abs(got.pixels[0, 0].astype(int) - expected).max() <= 3


def test_srgb_needs_no_conversion() -> None:
    """Its picture is returned as it is, which costs nothing."""
    assert to_srgb(RGB, SRGB.tobytes()) is RGB
    assert to_srgb(RGB, b"") is RGB


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", IGNORED)
def test_broken_and_foreign_profiles_are_ignored(name: str, format_: str) -> None:
    options: dict[str, object] = {"lossless": True} if format_ == "WEBP" else {}
    plain = read(save(RGB, format_, **options)).pixels
    got = read(save(RGB, format_, icc_profile=IGNORED[name], **options)).pixels
    assert np.array_equal(got, plain)


def test_a_profile_that_makes_everything_black_is_ignored() -> None:
    zero = (0.0, 0.0, 0.0)
    assert to_srgb(RGB, rgb_profile((zero, zero, zero), 2.2)) is RGB


def test_every_damage_of_a_profile_gives_a_picture() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(P3)
        for spot in rng.integers(0, len(P3), 3):
            damaged[spot] = int(rng.integers(256))
        assert to_srgb(RGB, bytes(damaged)).size == RGB.size


def test_a_profile_of_several_segments() -> None:
    data = save(RGB, "JPEG")
    half = len(P3) // 2
    pieces = segment(0xE2, ICC + b"\2\2" + P3[half:]), segment(0xE2, ICC + b"\1\2" + P3[:half])
    for order in (pieces, pieces[::-1]):
        assert embedded_profile(data[:2] + b"".join(order) + data[2:]) == P3
    assert embedded_profile(data[:2] + pieces[0] + data[2:]) == b""
    assert embedded_profile(data) == b""


def test_a_bomb_is_not_unpacked() -> None:
    data = save(RGB, "PNG")
    bomb = zlib.compress(bytes(50 << 20), 9)
    made = data[:PNG_HEADER] + chunk(b"iCCP", b"x\0\0" + bomb) + data[PNG_HEADER:]
    assert embedded_profile(made) == b""
    assert np.array_equal(read(made).pixels, picture())


def test_the_profile_of_a_png() -> None:
    assert embedded_profile(save(RGB, "PNG", icc_profile=P3)) == P3
    assert embedded_profile(save(RGB, "PNG")) == b""
    with io.BytesIO(save(RGB, "WEBP", icc_profile=P3)) as file:
        assert Pillow.open(file).info["icc_profile"] == P3
