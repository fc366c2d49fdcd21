"""Small picture files for the tests of the decoder."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import ExifTags
from PIL import Image as Pillow

from protome.geometry import U8
from protome.image.decode import Image, ImageLimits, decode

LIMIT: Final = 50_000_000


def read(data: bytes, enough: int = 1600, max_pixels: int = LIMIT) -> Image:
    return decode(data, ImageLimits(1 << 24, max_pixels, max_pixels), enough=enough)


def picture(width: int = 96, height: int = 64) -> U8:
    """Smooth, and different in every corner and channel, so that turns and swaps show."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([30 + 200 * x, 20 + 150 * y, 220 - 120 * x * y], axis=2)
    return np.round(rgb).astype(np.uint8)


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


RGB: Final = Pillow.fromarray(picture())


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
