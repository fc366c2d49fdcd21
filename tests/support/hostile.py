"""Picture files that are made to cost more than they are worth."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from typing import Final

import pillow_heif
from PIL import Image

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

pillow_heif.register_heif_opener()
HEIC: Final = saved(RGB, "HEIF")
# Of the service's default.
MAX_BYTES: Final = 20 << 20


def filled(file: Callable[[bytes], bytes], piece: bytes) -> bytes:
    """A file with a piece so often that it is as large as files may be."""
    return file(piece * ((MAX_BYTES - 4096) // len(piece)))


def scans(count: int, side: int = 1024) -> bytes:
    """A progressive JPEG of at least so many scans, which repeat the last."""
    large = saved(Image.new("RGB", (side, side), (9, 99, 199)), "JPEG", progressive=True)
    scan = large[large.rindex(b"\xff\xda") : -2]
    return large[:-2] + count * scan + large[-2:]


def animated(frames: int, side: int = SIDE) -> bytes:
    """A WebP of so many frames on a canvas of ``side`` x ``side``."""
    frame = saved(Image.new("RGB", (16, 16)), "WEBP")[12:]
    sides = struct.pack("<I", 15)[:3] * 2
    body = struct.pack("<I", 16 + len(frame)) + bytes(6) + sides + bytes(4) + frame
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + struct.pack("<I", side - 1)[:3] * 2
    riff = b"WEBP" + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + (b"ANMF" + body) * frames
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def sized_png(width: int, height: int) -> bytes:
    """A PNG that claims these sides."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + PNG[PNG_HEADER:]


def sized_vp8(width: int, height: int) -> bytes:
    """A lossy WebP that claims these sides."""
    return WEBP[:26] + struct.pack("<HH", width, height) + WEBP[30:]


def sized_vp8l(width: int, height: int) -> bytes:
    """A lossless WebP that claims these sides."""
    bits = (width - 1) | (height - 1) << 14
    return webp_of(b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(64))


def sized_heif(format_: str, side: int) -> bytes:
    """A HEIC or AVIF whose properties claim these sides."""
    data = saved(RGB, format_)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def wrong_checksum(kind: bytes) -> bytes:
    """The PNG with another checksum of this chunk."""
    data = bytearray(PNG)
    at = data.index(kind)
    (length,) = struct.unpack_from(">I", data, at - 4)
    data[at + 4 + length] ^= 1
    return bytes(data)


def several(format_: str) -> bytes:
    """Several pictures in a file, the first of which counts."""
    others = [Image.new("RGB", (SIDE, SIDE), (i, 0, 0)) for i in range(1, 40)]
    return saved(RGB, format_, save_all=True, append_images=others)


ICC: Final = b"ICC_PROFILE\0"
XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
XMP_MORE: Final = b"http://ns.adobe.com/xmp/extension/\0"


@functools.cache
def bomb(size: int) -> bytes:
    """So many zeros, compressed."""
    return zlib.compress(bytes(size), 9)


# What is to become of each: "ok", or the reason of the error.
FILES: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    # Two formats in one file: the picture counts, what follows its end is not looked at.
    "JPEG then ZIP": ("ok", lambda: JPEG + b"PK\3\4" + bytes(4096)),
    "JPEG then JPEG": ("ok", lambda: JPEG + sized_jpeg(60000, 60000)),
    "JPEG then PNG": ("ok", lambda: JPEG + PNG),
    "JPEG with ZIP in a comment": ("ok", lambda: in_jpeg(segment(0xFE, b"PK\3\4" + bytes(99)))),
    "JPEG with GIF in a comment": ("ok", lambda: in_jpeg(segment(0xFE, b"GIF89a" + bytes(99)))),
    "JPEG with JPEG in a segment": ("ok", lambda: in_jpeg(segment(0xE5, JPEG))),
    "PNG then script": ("ok", lambda: PNG + b"<html><script>alert(1)</script></html>" * 999),
    "PNG with script in a text": ("ok", lambda: in_png(chunk(b"tEXt", b"a\0<script>alert(1)"))),
    "WebP then ZIP": ("ok", lambda: WEBP + b"PK\3\4" + bytes(4096)),
    "GIF header then JPEG": ("UNSUPPORTED_FORMAT", lambda: b"GIF89a" + JPEG),
    "PDF header then JPEG": ("UNSUPPORTED_FORMAT", lambda: b"%PDF-1.7\n" + JPEG),
    "ZIP then PNG": ("UNSUPPORTED_FORMAT", lambda: b"PK\3\4" + bytes(26) + PNG),
    "HTML then PNG": ("UNSUPPORTED_FORMAT", lambda: b"<html>" + PNG),
    "RIFF of sound": ("UNSUPPORTED_FORMAT", lambda: b"RIFF\x40\0\0\0WAVEfmt " + bytes(64)),
    "JPEG magic then PNG": ("BROKEN_IMAGE", lambda: JPEG[:4] + PNG),
    "PNG magic then JPEG": ("BROKEN_IMAGE", lambda: PNG[:8] + JPEG),
    # Metadata that would unpack to much, or never end: it is never unpacked.
    "profile bomb": ("ok", lambda: in_png(chunk(b"iCCP", b"x\0\0" + bomb(100_000_000)))),
    "text bomb": ("ok", lambda: in_png(chunk(b"zTXt", b"x\0\0" + bomb(100_000_000)))),
    "international text bomb": (
        "ok",
        lambda: in_png(chunk(b"iTXt", b"x\0\1\0\0\0" + bomb(100_000_000))),
    ),
    "thousands of profile bombs": (
        "ok",
        lambda: filled(in_png, chunk(b"iCCP", b"x\0\0" + bomb(1_000_000))),
    ),
    "thousands of text bombs": (
        "ok",
        lambda: filled(in_png, chunk(b"zTXt", b"x\0\0" + bomb(1_000_000))),
    ),
    "EXIF that points to itself": ("ok", lambda: in_jpeg(exif((0x8769, 4, 1, 8), following=8))),
    "EXIF of directories in a ring": (
        "ok",
        lambda: in_jpeg(exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8), following=8)),
    ),
    "EXIF with giant counts": (
        "ok",
        lambda: in_jpeg(exif((0x9286, 7, 0xFFFFFFFF, 8), (*SHORT, 0x7FFFFFFF, 8))),
    ),
    "EXIF with 5,000 long tags": (
        "ok",
        lambda: in_jpeg(exif(*[(tag, 2, 60_000, 8) for tag in range(5000)])),
    ),
    "EXIF in a PNG that points to itself": (
        "ok",
        lambda: in_png(chunk(b"eXIf", exif((0x8769, 4, 1, 8), following=8)[10:])),
    ),
    "profile of too many segments": (
        "ok",
        lambda: filled(in_jpeg, segment(0xE2, ICC + b"\1\xff" + bytes(65_000))),
    ),
    "profile of segments that are not there": (
        "ok",
        lambda: in_jpeg(segment(0xE2, ICC + b"\0\0") + segment(0xE2, ICC + b"\xff\2")),
    ),
    "XMP in a chain": (
        "ok",
        lambda: filled(
            lambda chain: in_jpeg(segment(0xE1, XMP + b"<x:xmpmeta/>") + chain),
            segment(0xE1, XMP_MORE + b"0" * 32 + struct.pack(">II", 2**32 - 1, 0) + bytes(65_000)),
        ),
    ),
    # More parts or passes than pictures have.
    "millions of comments": ("BROKEN_IMAGE", lambda: filled(in_jpeg, segment(0xFE))),
    "millions of applications": ("BROKEN_IMAGE", lambda: filled(in_jpeg, segment(0xE1))),
    "hundreds of thousands of tables": (
        "BROKEN_IMAGE",
        lambda: filled(in_jpeg, segment(0xDB, b"\0" + b"\1" * 64)),
    ),
    "30,000 tables": ("ok", lambda: in_jpeg(segment(0xDB, b"\0" + b"\1" * 64) * 30_000)),
    "5,000 comments": ("ok", lambda: in_jpeg(segment(0xFE, b"hello") * 5000)),
    "megabytes of fill bytes": ("ok", lambda: filled(in_jpeg, b"\xff")),
    "megabytes of nothing": ("ok", lambda: filled(lambda zeros: in_jpeg(exif() + zeros), bytes(9))),
    "thousands of scans": ("BROKEN_IMAGE", lambda: scans(2000)),
    "50 scans": ("ok", lambda: scans(50)),
    "50 scans of 49 megapixels": ("BROKEN_IMAGE", lambda: scans(50, 7000)),
    "millions of chunks": ("BROKEN_IMAGE", lambda: filled(in_png, chunk(b"prVt"))),
    "millions of empty pieces": ("BROKEN_IMAGE", lambda: filled(in_png, chunk(b"IDAT"))),
    "length of 32 bits": (
        "BROKEN_IMAGE",
        lambda: PNG[:PNG_HEADER] + b"\xff\xff\xff\xffIDAT" + bytes(99),
    ),
    "segment longer than the file": ("BROKEN_IMAGE", lambda: JPEG[:2] + b"\xff\xe0\xff\xff"),
    "segment of length 0": ("BROKEN_IMAGE", lambda: JPEG[:2] + b"\xff\xe0\0\0" + JPEG[2:]),
    # Several pictures in one: the first.
    "MPO": ("ok", lambda: several("MPO")),
    "APNG": ("ok", lambda: several("PNG")),
    "animated WebP": ("ok", lambda: several("WEBP")),
    "hundreds of thousands of frames": ("ok", lambda: animated((MAX_BYTES - 4096) // 100)),
    # Sides that only the header knows of.
    "giant PNG": ("IMAGE_TOO_LARGE", lambda: sized_png(2**31 - 1, 2**31 - 1)),
    "giant JPEG": ("IMAGE_TOO_LARGE", lambda: sized_jpeg(65_500, 65_500)),
    "giant lossy WebP": ("IMAGE_TOO_LARGE", lambda: sized_vp8(16_383, 16_383)),
    "giant lossless WebP": ("IMAGE_TOO_LARGE", lambda: sized_vp8l(16_384, 16_384)),
    "giant WebP canvas": ("IMAGE_TOO_LARGE", lambda: animated(1, 16_384)),
    "WebP canvas of 24 bits": ("IMAGE_TOO_LARGE", lambda: animated(1, 2**24)),
    "largest WebP canvas with a small frame": ("ok", lambda: animated(1, 5098)),
    # Damage that checksums tell.
    "wrong checksum of the header": ("BROKEN_IMAGE", lambda: wrong_checksum(b"IHDR")),
    "wrong checksum of the pixels": ("BROKEN_IMAGE", lambda: wrong_checksum(b"IDAT")),
    # Not permitted.
    "BMP": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "BMP")),
    "TIFF": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "TIFF")),
    "GIF": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "GIF")),
    "JPEG 2000": ("UNSUPPORTED_FORMAT", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)),
    # Brands without a picture, and boxes that claim much.
    "empty AVIF": ("BROKEN_IMAGE", lambda: b"\0\0\0\x1cftypavif" + bytes(99)),
    "empty HEIC": ("BROKEN_IMAGE", lambda: b"\0\0\0\x18ftypheic" + bytes(99)),
    "HEIC that claims 60,000 pixels a side": (
        "IMAGE_TOO_LARGE",
        lambda: sized_heif("HEIF", 60_000),
    ),
    "AVIF that claims 60,000 pixels a side": ("BROKEN_IMAGE", lambda: sized_heif("AVIF", 60_000)),
    "HEIC that claims other sides": ("BROKEN_IMAGE", lambda: sized_heif("HEIF", 2_000)),
    "HEIC of zeros": ("BROKEN_IMAGE", lambda: filled(lambda zeros: HEIC[:200] + zeros, bytes(9))),
    "HEIC of boxes": (
        "BROKEN_IMAGE",
        lambda: filled(lambda boxes: HEIC[:24] + boxes, b"\0\0\0\x08free"),
    ),
}
