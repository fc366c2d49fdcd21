"""ICC profiles made by code: version 2, matrix and one exponent, or grey."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image, ImageCms

Column = tuple[float, float, float]

# Columns of the matrix to XYZ (D50): red, green, blue.
P3: Final = (0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)
ADOBE: Final = (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)
PROPHOTO: Final = (0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)
SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_MATRIX: Final = b"rXYZ", b"gXYZ", b"bXYZ"
WHITE: Final = 0.9642, 1.0, 0.8249


def rgb_profile(columns: tuple[Column, Column, Column], exponent: float) -> bytes:
    """A profile of a display."""
    tags = [(name, _xyz(column)) for name, column in zip(_MATRIX, columns, strict=True)]
    tags += [(name, _curve(exponent)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(b"RGB ", tags)


def grey_profile(exponent: float) -> bytes:
    """A profile of grey pictures."""
    return _profile(b"GRAY", [(b"kTRC", _curve(exponent))])


def converted(picture: Image.Image, profile: bytes, mode: str = "RGB") -> Image.Image:
    """An sRGB picture in the colours of a profile."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    changed = ImageCms.profileToProfile(picture, SRGB, target, outputMode=mode)
    assert changed is not None
    return changed


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """Header and table of tags (ICC.1:2022, 7)."""
    text = b"test\0"
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)),
        (b"wtpt", _xyz(WHITE)),
        *tags,
    ]
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags:
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body
    header = bytearray(128)
    header[0:4] = struct.pack(">I", 128 + len(table) + len(data))
    header[8:12] = b"\2\x20\0\0"
    header[12:24] = b"mntr" + space + b"XYZ "
    header[36:40] = b"acsp"
    header[68:80] = _xyz(WHITE)[8:]
    return bytes(header) + table + data


def _xyz(values: Column) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(65536 * v)) for v in values)


def _curve(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * exponent))


PROFILES: Final = {
    "Display P3": rgb_profile(P3, 2.2),
    "Adobe RGB": rgb_profile(ADOBE, 2.199),
    "ProPhoto": rgb_profile(PROPHOTO, 1.8),
}
