"""Reduce a picture file to the parts that its decoder needs.

Text, colour profiles (see ``colour_profile``), thumbnails, further pictures and trailing bytes are
removed without being unpacked. The number of parts of a file and of scans of a JPEG is limited,
which no single header states.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from typing import Final

from protome.errors import BrokenImage

from .container import PNG_MAGIC, format_of, with_known_brand

# One part per 640 bytes of the largest file; real files have a few hundred at most.
MAX_PARTS: Final = 32_768
# Each scan of a progressive JPEG processes all pixels; 10 are usual, 64 per colour the maximum.
MAX_SCANS: Final = 100
# Share of MAX_SCANS that a picture of the largest size may have, where each scan costs the most.
FULL_SIZE: Final = 0.2

# All markers except those without a length, which occur within a scan (ITU-T T.81, B.1.1).
MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Frames, tables, restart interval, scans.
_JPEG_KEPT: Final = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8}
# Segments that define colours and orientation; the first of each is kept.
_JPEG_ONCE: Final = {0xE0: b"JFIF\0", 0xE1: b"Exif\0\0", 0xEE: b"Adobe"}
# Offset of the colour type in the header, which comes first, and the type that needs a palette.
_PNG_COLOUR: Final = 25
_PNG_INDEXED: Final = b"\3"
_PNG_ONCE: Final = {b"IHDR", b"PLTE", b"tRNS", b"eXIf"}


def stripped(data: bytes, max_scans: int = MAX_SCANS, max_pixels: int = 0) -> bytes:
    """Return a file without the parts its decoder does not need.

    Parts are removed from JPEG and PNG. HEIC and AVIF get a first brand that decoders know.

    Args:
        data: the file.
        max_scans: most scans of a JPEG.
        max_pixels: limit on width x height; a JPEG of that size may have only the share
            :data:`FULL_SIZE` of the scans. 0: no such limit.

    Raises:
        UnsupportedFormat: the file has another format.
        BrokenImage: the file is damaged, or has too many parts or scans.
    """
    format_ = format_of(data)
    if format_ == "JPEG":
        return _jpeg(data, max_scans, max_pixels)
    return _png(data) if format_ == "PNG" else with_known_brand(data, format_)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from a WebP's first header, or None if it has none.

    The decoder allocates memory for all pixels before it reports their number.
    """
    kind, body = data[12:16], data[20:30]
    if format_of(data) != "WEBP" or len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes, max_scans: int, max_pixels: int) -> bytes:
    view = memoryview(data)
    parts: list[bytes | memoryview] = [view[:2]]
    once = dict(_JPEG_ONCE)
    scans = pixels = 0
    marker = MARKER.search(data, 2)
    for _ in range(MAX_PARTS):
        if marker is None:
            return b"".join(parts)
        start, kind = marker.start(), data[marker.end() - 1]
        if kind == _END:
            parts.append(view[start : start + 2])
            return b"".join(parts)
        size = _u16(view, start + 2)
        end = start + 2 + size
        if size < 2 or end > len(data):
            raise BrokenImage("the JPEG picture is cut short", format="JPEG")
        marker = MARKER.search(data, end)
        if kind in _FRAMES:
            # Two sides of 16 bits follow the sample precision.
            pixels = max(pixels, _u16(view, start + 5) * _u16(view, start + 7))
        if kind == _START_OF_SCAN:
            scans += 1
            most = max_scans
            # A larger picture is refused for its size later.
            if FULL_SIZE * max_pixels < pixels <= max_pixels:
                most = math.ceil(max_scans * FULL_SIZE * max_pixels / pixels)
            if scans > most:
                raise BrokenImage(
                    f"the JPEG picture has more than {most} scans", format="JPEG", max_scans=most
                )
            end = len(data) if marker is None else marker.start()
        elif kind not in _JPEG_KEPT and not _wanted(once, kind, view[start + 4 : end]):
            continue
        parts.append(view[start:end])
    raise _too_many("JPEG")


def _u16(view: memoryview, at: int) -> int:
    return int.from_bytes(view[at : at + 2])


def _wanted(once: dict[int, bytes], kind: int, body: memoryview) -> bool:
    """Return whether an application segment is kept: the first of each kind in ``once``."""
    name = once.get(kind)
    if name is None or body[: len(name)] != name:
        return False
    del once[kind]
    return True


def _png(data: bytes) -> bytes:
    view = memoryview(data)
    at = len(PNG_MAGIC)
    parts = [view[:at]]
    once = set(_PNG_ONCE)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return b"".join(parts)
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        chunk, at = view[at:end], end
        if kind == b"CgBI":
            raise BrokenImage("the PNG picture has Apple's form for apps (CgBI)", format="PNG")
        if kind in once:
            once.discard(kind)
        elif kind not in (b"IDAT", b"IEND"):
            continue
        if end > len(data):
            raise BrokenImage("the PNG picture is cut short", format="PNG")
        # Pillow does not check the checksums of pixel data (PNG, 5.3).
        if zlib.crc32(chunk[4:-4]).to_bytes(4) != chunk[-4:]:
            raise BrokenImage("the PNG picture has a wrong checksum", format="PNG")
        # Pillow would invent a palette.
        indexed = data[_PNG_COLOUR : _PNG_COLOUR + 1] == _PNG_INDEXED
        if kind == b"IDAT" and b"PLTE" in once and indexed:
            raise BrokenImage("the PNG picture has no palette", format="PNG")
        parts.append(chunk)
        if kind == b"IEND":
            return b"".join(parts)
    raise _too_many("PNG")


def _too_many(format_: str) -> BrokenImage:
    return BrokenImage(
        f"the {format_} picture has more than {MAX_PARTS} parts",
        format=format_,
        max_parts=MAX_PARTS,
    )
