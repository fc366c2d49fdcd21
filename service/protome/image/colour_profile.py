"""Convert pictures to sRGB by their embedded colour profile (ICC.1:2022).

A profile that cannot be used is ignored, as viewers do. Little CMS does the conversion.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from .container import JPEG_MAGIC, PNG_MAGIC
from .sanitize import MARKER, MAX_PARTS

# Profiles of printers with fine tables have about 3 MB.
MAX_PROFILE_BYTES: Final = 4 << 20
_SEGMENT: Final = b"ICC_PROFILE\0"
_APP2: Final = 0xE2
_START_OF_SCAN: Final = 0xDA
# Colour space of a profile by the mode of the pictures that it applies to.
_SPACES: Final = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
# Largest difference from sRGB, in levels, that is not worth a conversion.
_ALIKE: Final = 2
# Least difference between the lightest and the darkest colour of a usable profile, in levels.
_CONTRAST: Final = 100


def embedded_profile(data: bytes) -> bytes:
    """Return the colour profile of a JPEG or PNG file; empty if it has none or it is damaged."""
    if data.startswith(JPEG_MAGIC):
        return _jpeg_profile(data)
    return _png_profile(data) if data.startswith(PNG_MAGIC) else b""


def _jpeg_profile(data: bytes) -> bytes:
    """Join the segments, each with its number and their count (ICC.1:2022, B.4)."""
    pieces: dict[int, bytes] = {}
    count = size = 0
    marker = MARKER.search(data, 2)
    for _ in range(MAX_PARTS):
        if marker is None or data[marker.end() - 1] == _START_OF_SCAN:
            break
        start, length = marker.end(), int.from_bytes(data[marker.end() : marker.end() + 2])
        if data[start - 1] == _APP2 and data[start + 2 : start + 14] == _SEGMENT:
            number, count = data[start + 14 : start + 16].ljust(2, b"\0")
            pieces[number] = data[start + 16 : start + length]
            size += len(pieces[number])
        if size > MAX_PROFILE_BYTES:
            return b""
        marker = MARKER.search(data, start + max(length, 2))
    if sorted(pieces) != [*range(1, count + 1)]:
        return b""
    return b"".join(pieces[number] for number in sorted(pieces))


def _png_profile(data: bytes) -> bytes:
    """Unpack the chunk iCCP: a name, the compression method, the profile (PNG, 11.3.2.3)."""
    at = len(PNG_MAGIC)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return b""
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            return b""
        if kind == b"iCCP":
            _, _, packed = data[at + 8 : at + 8 + length].partition(b"\0")
            try:
                unpacker = zlib.decompressobj()
                profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
            except zlib.error:
                return b""
            return profile if unpacker.eof else b""
        at += 12 + length
    return b""


def to_srgb(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    """Convert a picture to sRGB.

    Args:
        picture: of any mode; one without a transform is returned as it is.
        profile: the file's ICC profile.

    Returns:
        A picture of mode RGB, or the same picture if the profile is that of sRGB, of another kind
        of picture, or broken.
    """
    transform = _transform(profile, picture.mode)
    if transform is None:
        return picture
    converted: Pillow.Image | None = ImageCms.applyTransform(picture, transform)
    return converted or picture


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if mode not in _SPACES or not profile or len(profile) > MAX_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        before = _probe(mode)
        after = np.asarray(ImageCms.applyTransform(before, transform)).astype(int)
    except MemoryError:
        raise
    # Little CMS raises exceptions of several types on damaged profiles.
    except Exception:
        return None
    if np.ptp(after.mean(axis=-1)) < _CONTRAST:
        return None
    alike = mode != "CMYK" and np.abs(after - np.asarray(before.convert("RGB"))).max() <= _ALIKE
    return None if alike else transform


@functools.cache
def _probe(mode: str) -> Pillow.Image:
    """Return a picture of colours that cover a mode's range evenly."""
    if mode == "L":
        return Pillow.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    channels = np.meshgrid(*[levels] * len(mode))
    return Pillow.fromarray(np.stack(channels, axis=-1).reshape(6, -1, len(mode)), mode)
