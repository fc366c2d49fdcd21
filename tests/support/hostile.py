"""Picture files that are legal in part, and made to cost more than they are worth."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

from PIL import Image

# Of the service's default.
MAX_BYTES: Final = 20 << 20
SIDE: Final = 64
RGB: Final = Image.new("RGB", (SIDE, SIDE), (9, 99, 199))
PNG_HEADER: Final = 33


def saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, format_, **options)
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


def filled(file: Callable[[bytes], bytes], piece: bytes) -> bytes:
    """A file with a piece so often that it is as large as files may be."""
    return file(piece * ((MAX_BYTES - 4096) // len(piece)))


def scans(count: int, side: int = 1024) -> bytes:
    """A progressive JPEG of at least so many scans, which repeat the last."""
    large = saved(Image.new("RGB", (side, side), (9, 99, 199)), "JPEG", progressive=True)
    scan = large[large.rindex(b"\xff\xda") : -2]
    return large[:-2] + count * scan + large[-2:]


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """An APP1 segment of a TIFF directory: (tag, type, count, value or offset)."""
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tiff = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", following)
    return segment(0xE1, b"Exif\0\0" + tiff)


def animated(frames: int, side: int = SIDE) -> bytes:
    """A WebP of so many frames on a canvas of ``side`` x ``side``."""
    frame = saved(Image.new("RGB", (16, 16)), "WEBP")[12:]
    sides = struct.pack("<I", 15)[:3] * 2
    body = struct.pack("<I", 16 + len(frame)) + bytes(6) + sides + bytes(4) + frame
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + struct.pack("<I", side - 1)[:3] * 2
    riff = b"WEBP" + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + (b"ANMF" + body) * frames
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def webp_of(kind: bytes, body: bytes) -> bytes:
    """A WebP of one chunk."""
    riff = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def sized_png(width: int, height: int) -> bytes:
    """A PNG that claims these sides."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + PNG[PNG_HEADER:]


def sized_jpeg(width: int, height: int) -> bytes:
    """A JPEG that claims these sides."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def sized_vp8(width: int, height: int) -> bytes:
    """A lossy WebP that claims these sides."""
    return WEBP[:26] + struct.pack("<HH", width, height) + WEBP[30:]


def sized_vp8l(width: int, height: int) -> bytes:
    """A lossless WebP that claims these sides."""
    bits = (width - 1) | (height - 1) << 14
    return webp_of(b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(64))


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
BOMB: Final = zlib.compress(bytes(100_000_000), 9)
SMALL_BOMB: Final = zlib.compress(bytes(1_000_000), 9)
SHORT: Final = 0x0112, 3

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
    "profile bomb": ("ok", lambda: in_png(chunk(b"iCCP", b"x\0\0" + BOMB))),
    "text bomb": ("ok", lambda: in_png(chunk(b"zTXt", b"x\0\0" + BOMB))),
    "international text bomb": ("ok", lambda: in_png(chunk(b"iTXt", b"x\0\1\0\0\0" + BOMB))),
    "thousands of profile bombs": (
        "ok",
        lambda: filled(in_png, chunk(b"iCCP", b"x\0\0" + SMALL_BOMB)),
    ),
    "thousands of text bombs": (
        "ok",
        lambda: filled(in_png, chunk(b"zTXt", b"x\0\0" + SMALL_BOMB)),
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
    "largest WebP canvas with a small frame": ("ok", lambda: animated(1, 4098)),
    # Damage that checksums tell.
    "wrong checksum of the header": ("BROKEN_IMAGE", lambda: wrong_checksum(b"IHDR")),
    "wrong checksum of the pixels": ("BROKEN_IMAGE", lambda: wrong_checksum(b"IDAT")),
    # Not permitted.
    "BMP": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "BMP")),
    "TIFF": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "TIFF")),
    "GIF": ("UNSUPPORTED_FORMAT", lambda: saved(RGB, "GIF")),
    "JPEG 2000": ("UNSUPPORTED_FORMAT", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)),
    "AVIF": ("UNSUPPORTED_FORMAT", lambda: b"\0\0\0\x1cftypavif" + bytes(99)),
}


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
