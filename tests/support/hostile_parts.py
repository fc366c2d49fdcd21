"""Parts of picture files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

from PIL import Image

SIDE: Final = 64
RGB: Final = Image.new("RGB", (SIDE, SIDE), (9, 99, 199))
PNG_HEADER: Final = 33


def saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture.copy().save(file, format_, **options)
    return file.getvalue()


JPEG: Final = saved(RGB, "JPEG")
PNG: Final = saved(RGB, "PNG")
WEBP: Final = saved(RGB, "WEBP")


def segment(marker: int, body: bytes = b"") -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def in_jpeg(extra: bytes) -> bytes:
    """The JPEG with more behind its start."""
    return JPEG[:2] + extra + JPEG[2:]


def in_png(extra: bytes) -> bytes:
    """The PNG with more behind its header."""
    return PNG[:PNG_HEADER] + extra + PNG[PNG_HEADER:]


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """An APP1 segment of a TIFF directory: (tag, type, count, value or offset)."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tiff = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", following)
    return segment(0xE1, b"Exif\0\0" + tiff)


def webp_of(kind: bytes, body: bytes) -> bytes:
    """A WebP of one chunk."""
    riff = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def sized_jpeg(width: int, height: int) -> bytes:
    """A JPEG that claims these sides."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


SHORT: Final = 0x0112, 3
