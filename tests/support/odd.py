"""Picture files that are odd: legal in part, or damaged in one place."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Final

from .hostile_parts import (
    JPEG,
    PNG,
    PNG_HEADER,
    RGB,
    SHORT,
    SIDE,
    WEBP,
    chunk,
    exif,
    in_jpeg,
    in_png,
    saved,
    segment,
    sized_jpeg,
    webp_of,
)


def png_of(
    data: bytes,
    *,
    side: tuple[int, int] = (SIDE, SIDE),
    depth: int = 8,
    colour: int = 2,
    before: bytes = b"",
    interlace: int = 0,
) -> bytes:
    """A PNG of compressed pixels, with right checksums."""
    header = struct.pack(">IIBBBBB", *side, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + chunk(b"IEND")
    return PNG[:8] + body


def in_frame(change: Callable[[bytes], bytes]) -> bytes:
    """The JPEG with another frame header."""
    at = JPEG.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(JPEG[at + 2 : at + 4])
    return JPEG[:at] + change(JPEG[at:end]) + JPEG[end:]


def without(kind: int) -> bytes:
    """The JPEG without its segments of a kind."""
    data = JPEG
    while (at := data.find(bytes((0xFF, kind)))) >= 0:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    return data


# Rows that no other compresses to, each behind filter 0.
NOISE: Final = b"".join(b"\0" + random.Random(row).randbytes(3 * SIDE) for row in range(SIDE))
PIXELS: Final = zlib.compress(NOISE)
GREY: Final = zlib.compress(bytes(SIDE * (SIDE + 1)))
SCAN: Final = JPEG.index(b"\xff\xda")

# Small files with one thing wrong, or odd, each: none may pass for a picture it is not.
ODD: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "PNG of noise": ("ok", lambda: png_of(PIXELS)),
    "PNG whose pixels end early": ("BROKEN_IMAGE", lambda: png_of(PIXELS[: len(PIXELS) // 2])),
    "PNG whose pixels hardly begin": ("BROKEN_IMAGE", lambda: png_of(PIXELS[:2])),
    "PNG with no pixels": ("BROKEN_IMAGE", lambda: png_of(b"")),
    "PNG with another Adler checksum": ("BROKEN_IMAGE", lambda: png_of(PIXELS[:-4] + b"abcd")),
    "PNG with a row of no filter": (
        "BROKEN_IMAGE",
        lambda: png_of(zlib.compress(b"\xc8" + NOISE[1:])),
    ),
    "PNG with a preset dictionary": (
        "BROKEN_IMAGE",
        lambda: png_of(b"\x78\xbb\0\0\0\1" + PIXELS[2:]),
    ),
    "PNG of empty blocks": (
        "BROKEN_IMAGE",
        lambda: png_of(b"\x78\x01" + b"\0\0\0\xff\xff" * 3_900_000),
    ),
    "PNG with data behind its pixels": ("ok", lambda: png_of(PIXELS + bytes(1_000_000))),
    "PNG of no depth": ("BROKEN_IMAGE", lambda: png_of(PIXELS, depth=3)),
    "PNG of no colour": ("BROKEN_IMAGE", lambda: png_of(PIXELS, colour=5)),
    "PNG of no interlacing": ("BROKEN_IMAGE", lambda: png_of(PIXELS, interlace=7)),
    "PNG without width": ("BROKEN_IMAGE", lambda: png_of(PIXELS, side=(0, SIDE))),
    "PNG of 1 x N": ("INVALID_REQUEST", lambda: png_of(PIXELS, side=(1, 1_000_000))),
    "PNG of 16 x N": (
        "ok",
        lambda: png_of(zlib.compress(bytes(49 * 1_000_000)), side=(16, 1_000_000)),
    ),
    "PNG with no palette": ("BROKEN_IMAGE", lambda: png_of(GREY, colour=3)),
    "PNG with a palette behind its pixels": (
        "BROKEN_IMAGE",
        lambda: png_of(GREY, colour=3)[:-12] + chunk(b"PLTE", bytes(768)) + chunk(b"IEND"),
    ),
    "PNG with a palette too short for its pixels": (
        "ok",
        lambda: png_of(
            zlib.compress((b"\0" + b"\xfa" * SIDE) * SIDE), colour=3, before=chunk(b"PLTE", b"abc")
        ),
    ),
    "PNG with a palette too long": (
        "BROKEN_IMAGE",
        lambda: png_of(GREY, colour=3, before=chunk(b"PLTE", bytes(999_999))),
    ),
    "PNG with transparency too short": (
        "BROKEN_IMAGE",
        lambda: png_of(GREY, colour=0, before=chunk(b"tRNS", b"")),
    ),
    "PNG of an empty piece": ("BROKEN_IMAGE", lambda: PNG[:8] + chunk(b"IDAT")),
    "PNG with its header twice": ("ok", lambda: in_png(PNG[8:PNG_HEADER])),
    "PNG without a header": ("BROKEN_IMAGE", lambda: PNG[:8] + PNG[PNG_HEADER:]),
    "JPEG of 12 bits": ("BROKEN_IMAGE", lambda: in_frame(lambda f: f[:4] + b"\x0c" + f[5:])),
    "JPEG without loss": ("BROKEN_IMAGE", lambda: in_frame(lambda f: b"\xff\xc3" + f[2:])),
    "JPEG in a hierarchy": ("BROKEN_IMAGE", lambda: in_frame(lambda f: b"\xff\xc5" + f[2:])),
    "JPEG with two frames": ("BROKEN_IMAGE", lambda: in_frame(lambda f: f + f)),
    "JPEG without a frame": ("BROKEN_IMAGE", lambda: in_frame(lambda _: b"")),
    "JPEG of no samples": (
        "BROKEN_IMAGE",
        lambda: in_frame(lambda f: f[:11] + b"\0" + f[12:]),
    ),
    "JPEG of 255 colours": (
        "BROKEN_IMAGE",
        lambda: in_frame(lambda f: f[:2] + b"\3\5" + f[4:9] + b"\xff" + f[10:13] * 255),
    ),
    "JPEG with a table that is not there": (
        "BROKEN_IMAGE",
        lambda: in_frame(lambda f: f[:12] + b"\3" + f[13:]),
    ),
    "JPEG without quantisation": ("BROKEN_IMAGE", lambda: without(0xDB)),
    "JPEG with codes too many": (
        "BROKEN_IMAGE",
        lambda: in_jpeg(segment(0xC4, b"\0" + b"\xff" * 16 + bytes(4080))),
    ),
    "JPEG without height": ("BROKEN_IMAGE", lambda: sized_jpeg(SIDE, 0)),
    "JPEG without a scan": ("BROKEN_IMAGE", lambda: JPEG[:SCAN] + JPEG[-2:]),
    "JPEG with a scan of nothing": (
        "BROKEN_IMAGE",
        lambda: JPEG[:SCAN] + segment(0xDA, b"\0\0\x3f\0") + JPEG[SCAN:],
    ),
    "JPEG cut in its scan": ("BROKEN_IMAGE", lambda: JPEG[: SCAN + 20]),
    "JPEG of restarts": ("ok", lambda: JPEG[:-2] + b"\xff\xd0" * 9_000_000 + JPEG[-2:]),
    "JPEG in CMYK": ("ok", lambda: saved(RGB.convert("CMYK"), "JPEG")),
    "JPEG with an unknown Adobe transform": (
        "ok",
        lambda: in_jpeg(segment(0xEE, b"Adobe\0\x64\0\0\0\0\xff")),
    ),
    "EXIF turned by 4,294,967,295": ("ok", lambda: in_jpeg(exif((*SHORT, 1, 0xFFFFFFFF)))),
    "EXIF turned by a word": ("ok", lambda: in_jpeg(exif((0x0112, 2, 4, 0x41414141)))),
    "EXIF from beyond": ("ok", lambda: in_jpeg(segment(0xE1, b"Exif\0\0II*\0" + b"\xff" * 4))),
    "WebP cut short": ("BROKEN_IMAGE", lambda: WEBP[:-20]),
    "WebP that is no key frame": (
        "BROKEN_IMAGE",
        lambda: WEBP[:20] + bytes((WEBP[20] | 1,)) + WEBP[21:],
    ),
    "WebP with a partition too long": (
        "BROKEN_IMAGE",
        lambda: WEBP[:20] + b"\xf0\xff\xff" + WEBP[23:],
    ),
    "WebP of nothing": ("BROKEN_IMAGE", lambda: webp_of(b"VP8L", bytes(9))),
    "WebP of a header": ("BROKEN_IMAGE", lambda: webp_of(b"VP8X", bytes(4) + b"\x3f\0\0" * 2)),
}
