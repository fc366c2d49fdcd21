"""Kinds of WebP."""

from __future__ import annotations

import struct
from functools import partial
from typing import Final

from PIL import Image

from tests.support.photos import TURNED, saved
from tests.support.profiles import PROFILES

from .base import (
    ALPHA,
    GREY,
    OTHER,
    PHOTO,
    Kind,
    Make,
    file_of,
    grey,
    in_profile,
    over_white,
    quantized,
    refused,
    resized,
)
from .jpeg_parts import RDF, tiff

PLAIN: Final = file_of("WEBP")()
CLEAR: Final = PHOTO.convert("RGBA")
CLEAR.putalpha(ALPHA)


def turned(orientation: int, *, prefix: bool, lossless: bool = True) -> Make:
    """The photo as a camera stores it, with EXIF that begins with its JPEG prefix or not."""
    turn = TURNED[orientation]
    picture = PHOTO if turn is None else PHOTO.transpose(turn)
    block = tiff({0x112: orientation})
    return file_of("WEBP", picture, exif=block if prefix else block[6:], lossless=lossless)


def animated(lossless: bool) -> Make:
    """The photo, then another picture of its size."""
    return file_of(
        "WEBP", save_all=True, append_images=[OTHER.resize(PHOTO.size)], lossless=lossless
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def with_chunk(kind: bytes, body: bytes) -> Make:
    """The photo as an extended WebP with one more chunk behind the pixels."""

    def make() -> bytes:
        sides = b"".join(struct.pack("<I", side - 1)[:3] for side in PHOTO.size)
        parts = _chunk(b"VP8X", bytes(4) + sides) + PLAIN[12:] + _chunk(kind, body)
        return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts

    return make


KINDS: Final[dict[str, Kind]] = {
    **{
        f"WebP of quality {q}": Kind(file_of("WEBP", quality=q), most=most)
        for q, most in ((0, 14), (30, 6), (75, 5), (100, 2))
    },
    **{f"WebP of method {m}": Kind(file_of("WEBP", method=m)) for m in (0, 6)},
    "WebP without loss": Kind(file_of("WEBP", lossless=True), most=0),
    "WebP without loss, packed hard": Kind(
        file_of("WEBP", lossless=True, quality=100, method=3), most=0
    ),
    "WebP with transparency": Kind(file_of("WEBP", CLEAR), over_white(ALPHA)),
    "WebP with coarse transparency": Kind(
        file_of("WEBP", CLEAR, alpha_quality=10), over_white(ALPHA), 6
    ),
    "WebP with transparency, without loss": Kind(
        file_of("WEBP", CLEAR, lossless=True), over_white(ALPHA), 2
    ),
    "WebP whose clear pixels are exact": Kind(
        file_of("WEBP", CLEAR, lossless=True, exact=True), over_white(ALPHA), 2
    ),
    "WebP in grey": Kind(file_of("WEBP", GREY), grey),
    "WebP of a palette": Kind(
        lambda: file_of("WEBP", quantized(64), lossless=True)(),
        lambda: quantized(64).convert("RGB"),
        1,
    ),
    "WebP, animated": Kind(animated(False)),
    "WebP, animated, without loss": Kind(animated(True), most=0),
    **{f"WebP turned by EXIF {n}": Kind(turned(n, prefix=True), most=0) for n in range(1, 9)},
    "WebP turned by bare EXIF": Kind(turned(6, prefix=False), most=0),
    "WebP turned by EXIF, with loss": Kind(turned(8, prefix=False, lossless=False)),
    **{
        f"WebP in {name}": Kind(in_profile("WEBP", p, lossless=True), most=3)
        for name, p in PROFILES.items()
    },
    "WebP with a broken profile": Kind(
        file_of("WEBP", lossless=True, icc_profile=bytes(99)), most=0
    ),
    "WebP with XMP": Kind(file_of("WEBP", xmp=RDF % b'tiff:Orientation="6"')),
    "WebP with an unknown chunk": Kind(with_chunk(b"teSt", bytes(301))),
    "WebP with XMP that it does not announce": Kind(with_chunk(b"XMP ", RDF % b"")),
    **{
        f"WebP of {w} x {h}": Kind(
            file_of("WEBP", resized(w, h)),
            partial(resized, w, h),
        )
        for w, h in ((81, 101), (319, 399), (641, 801))
    },
    "WebP with bytes behind its end": Kind(lambda: PLAIN + bytes(5000)),
    "WebP cut at half": refused(lambda: PLAIN[: len(PLAIN) // 2], "BROKEN_IMAGE", "WEBP"),
    "WebP of 28 megapixels": refused(
        lambda: saved(Image.new("L", (7000, 4000)), "WEBP", method=0), "IMAGE_TOO_LARGE", "26000000"
    ),
    "WebP of 15 pixels": refused(
        lambda: saved(resized(15, 15), "WEBP"), "INVALID_REQUEST", "each side"
    ),
}
