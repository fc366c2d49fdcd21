"""Tell picture files apart by their first bytes."""

from __future__ import annotations

import re
from typing import Final

from protome.errors import UnsupportedFormat

FORMATS: Final = ("JPEG", "PNG", "WebP", "HEIC", "AVIF")
ACCEPTED: Final = "send JPEG, PNG, WebP, HEIC or AVIF"

JPEG_MAGIC: Final = b"\xff\xd8\xff"
PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
# ISO/IEC 14496-12: the first box lists the brands, 4 bytes each; no file needs more of them.
_MAX_BRANDS: Final = 64
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_HEIF_BRANDS: Final = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"mif2", b"msf1"),
}
# What people send instead, by the start of the file.
_OTHERS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"GIF8[79]a", "a GIF picture"),
        (rb"BM.{4}\0\0\0\0", "a BMP picture"),
        (rb"II\*\0.{4}CR\x02", "a camera's raw file (CR2)"),
        (rb"II[*+]\0|MM\0[*+]", "a TIFF picture or a camera's raw file"),
        (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|\0MRM", "a camera's raw file"),
        (rb"....ftypcrx ", "a camera's raw file (CR3)"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (rb"II\xbc\x01", "a JPEG XR picture"),
        (rb"8BP[SB]", "a Photoshop file"),
        (rb"\0\0[\1\2]\0[^\0]\0", "an ICO or CUR picture"),
        (rb"P[1-7][\s#]|P[Ff]\s", "a PNM picture"),
        (rb"qoif", "a QOI picture"),
        (rb"DDS ", "a DDS picture"),
        (rb"v/1\x01", "an OpenEXR picture"),
        (rb"#\?RADIANCE", "a Radiance HDR picture"),
        (rb"gimp xcf", "a GIMP file"),
        (rb"BPG\xfb", "a BPG picture"),
        (rb"%PDF", "a PDF document"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.{0,400}-->\s*)?(<!DOCTYPE svg.{0,400})?<svg",
         "an SVG drawing"),
        (rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html|<head|<body)", "an HTML page"),
        (rb"....(ftyp|moov|mdat|wide)", "a video (MP4 or QuickTime)"),
        (rb"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
        (rb"RIFF....AVI ", "a video (AVI)"),
        (rb"glTF", "a GLB model"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"\x1f\x8b", "a gzip archive"),
        (rb"data:[a-z]+/|/9j/[A-Za-z0-9+/]|iVBORw0KGgo|UklGR[A-Za-z0-9+/]",
         "base64 text, not the bytes it stands for"),
    )
)  # fmt: skip


def format_of(data: bytes) -> str:
    """Return JPEG, PNG, WEBP, HEIC or AVIF by the file's first bytes.

    Raises:
        UnsupportedFormat: the file is none of them; the message says what it is.
    """
    if data.startswith(JPEG_MAGIC):
        return "JPEG"
    if data.startswith(PNG_MAGIC):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    raise _unsupported(data)


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file: its own, and those it is compatible with."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), len(data), 16 + 4 * _MAX_BRANDS)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def _unsupported(data: bytes) -> UnsupportedFormat:
    head = data[:1024]
    found = next((name for pattern, name in _OTHERS if pattern.match(head)), None)
    if found is None:
        return UnsupportedFormat(
            f"the bytes are not a picture in a format that is supported; {ACCEPTED}",
            formats=",".join(FORMATS),
        )
    return UnsupportedFormat(
        f"the file is {found}, which is not supported; {ACCEPTED}",
        formats=",".join(FORMATS),
        found=found,
    )
