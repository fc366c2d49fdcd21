"""Hostile files: each gives a picture or the right error, in little time and memory."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import time
from typing import Final

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from protome.errors import BrokenImage, ProtomeError
from protome.image.decode import ImageLimits, decode
from protome.image.sanitize import MAX_SCANS, stripped, webp_size
from tests.support.hostile import FILES, MAX_BYTES, animated, scans, sized_vp8, sized_vp8l
from tests.support.hostile_parts import (
    JPEG,
    PNG,
    RGB,
    SIDE,
    WEBP,
    chunk,
    in_jpeg,
    in_png,
    saved,
    segment,
)
from tests.support.odd import ODD
from tests.support.service import OWN_PEAK

LIMITS: Final = ImageLimits(MAX_BYTES, 52_000_000, 26_000_000)
# Of processor time: the costliest takes half a second here.
SECONDS: Final = 8.0
MEMORY: Final = 700 << 20
# Decodes one file in a process of its own and prints what it took.
MEASURED: Final = """
import resource, sys
from protome.errors import ProtomeError
from protome.image.decode import decode
from tests.unit.image.test_sanitize import LIMITS
data = sys.stdin.buffer.read()
try:
    outcome = "ok" if decode(data, LIMITS, enough=1600).pixels.size else "empty"
except ProtomeError as error:
    outcome = error.reason
print(outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)
"""


@pytest.mark.parametrize("name", ODD)
def test_what_is_wrong_in_a_small_file_is_not_passed_over(name: str) -> None:
    expected, make = ODD[name]
    try:
        outcome = "ok" if decode(make(), LIMITS, enough=1600).pixels.size else "empty"
    except ProtomeError as error:
        outcome = error.reason
    assert outcome == expected


@pytest.mark.parametrize("name", FILES)
def test_hostile_files_are_answered_soon(name: str) -> None:
    expected, make = FILES[name]
    data = make()
    assert len(data) <= MAX_BYTES
    began = time.process_time()
    if expected == "ok":
        assert decode(data, LIMITS, enough=1600).pixels.shape[2] == 3
    else:
        with pytest.raises(ProtomeError) as error:
            decode(data, LIMITS, enough=1600)
        assert error.value.reason == expected
        assert error.value.facts
        assert not re.search("0x|object", error.value.message)
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "name",
    [
        "millions of applications",
        "thousands of profile bombs",
        "giant WebP canvas",
        "XMP in a chain",
    ],
)
def test_hostile_files_take_up_little_memory(name: str) -> None:
    expected, make = FILES[name]
    command = [*OWN_PEAK, sys.executable, "-c", MEASURED]
    done = subprocess.run(command, input=make(), capture_output=True, check=True, timeout=60)
    outcome, peak = done.stdout.split()
    assert outcome.decode() == expected
    assert int(peak) < MEMORY


@pytest.mark.parametrize("name", ["MPO", "APNG", "animated WebP", "JPEG then JPEG", "profile bomb"])
def test_the_first_picture_is_the_one(name: str) -> None:
    picture = decode(FILES[name][1](), LIMITS, enough=1600)
    assert np.abs(picture.pixels.astype(int) - np.asarray(RGB)).max() <= 12


def test_a_plain_file_stays_as_it_is() -> None:
    assert stripped(JPEG) == JPEG
    assert stripped(PNG) == PNG
    assert stripped(WEBP) == WEBP


def test_what_decoders_do_not_need_is_left_out() -> None:
    secret = b"a secret"
    noise = segment(0xFE, secret) + segment(0xE2, secret) + segment(0xED, secret)
    assert stripped(in_jpeg(noise) + secret) == JPEG
    noise = chunk(b"tEXt", b"k\0" + secret) + chunk(b"iCCP", secret) + chunk(b"acTL", bytes(8))
    assert stripped(in_png(noise) + secret) == PNG


def test_only_the_first_exif_is_kept() -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = saved(RGB, "JPEG", exif=exif)
    other = segment(0xE1, b"Exif\0\0" + b"MM\0*" + bytes(20))
    kept = stripped(turned[:2] + other + turned[2:])
    assert kept.count(b"Exif\0\0") == 1
    assert other in kept


def test_between_scans_nothing_is_lost() -> None:
    """Tables there belong to the scans that follow."""
    chance = np.random.default_rng(5)
    noise = Pillow.fromarray(chance.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    for options in ({"progressive": True}, {"progressive": True, "restart_marker_blocks": 2}):
        data = saved(noise, "JPEG", optimize=True, **options)
        scan = data.rindex(b"\xff\xda")
        assert stripped(data[:scan] + segment(0xFE, b"\xff\xda\0\0") + data[scan:]) == data
        assert (
            Pillow.open(io.BytesIO(stripped(data))).tobytes()
            == Pillow.open(io.BytesIO(data)).tobytes()
        )


def test_the_limit_on_scans_is_exact() -> None:
    usual = stripped(scans(0)).count(b"\xff\xda")
    stripped(scans(MAX_SCANS - usual, 64))
    with pytest.raises(BrokenImage) as error:
        stripped(scans(MAX_SCANS - usual + 1, 64))
    assert error.value.facts == {"format": "JPEG", "max_scans": str(MAX_SCANS)}
    stripped(scans(MAX_SCANS + 1, 64), max_scans=2 * MAX_SCANS)


def test_large_pictures_may_have_fewer_scans() -> None:
    """A fifth of them at the largest size; what is too large anyway is not refused for them."""
    usual = stripped(scans(0)).count(b"\xff\xda")
    for pixels, most in ((64 * 64, 20), (2 * 64 * 64, 40), (5 * 64 * 64, 100)):
        stripped(scans(most - usual, 64), max_pixels=pixels)
        with pytest.raises(BrokenImage) as error:
            stripped(scans(most - usual + 1, 64), max_pixels=pixels)
        assert error.value.facts["max_scans"] == str(most)
    stripped(scans(MAX_SCANS - usual, 64), max_pixels=64 * 64 - 1)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (sized_vp8(123, 456), (123, 456)),
        (sized_vp8l(123, 456), (123, 456)),
        (animated(1, 123), (123, 123)),
        (saved(Pillow.new("RGB", (70, 33)), "WEBP", lossless=True), (70, 33)),
        (saved(Pillow.new("RGBA", (70, 33)), "WEBP"), (70, 33)),
        (WEBP[:24], None),
        (PNG, None),
    ],
)
def test_webp_size(data: bytes, size: tuple[int, int] | None) -> None:
    assert webp_size(data) == size


def test_every_prefix_of_a_file_is_our_error_or_the_picture() -> None:
    """Some lack nothing but the mark of their end."""
    for whole in (JPEG, PNG, WEBP, in_jpeg(segment(0xE1, b"Exif\0\0" + bytes(40)))):
        for length in range(1, len(whole)):
            with contextlib.suppress(ProtomeError):
                assert decode(whole[:length], LIMITS, enough=1600).pixels.shape == (SIDE, SIDE, 3)
                assert length > len(whole) / 2
