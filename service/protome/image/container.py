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
_KNOWN_BRANDS: Final = (_AVIF_BRANDS | _HEIF_BRANDS) - {b"mif2"}
_FIRST_BRANDS: Final = {"AVIF": b"avif", "HEIC": b"heic"}
# What people send instead, by the start of the file.
_OTHERS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"GIF8[79]a", "a GIF picture"),
        (rb"BM.{4}\0\0\0\0", "a BMP picture"),
        (rb"II\*\0.{4}CR\x02", "a camera's raw file (CR2)"),
        (rb"II[*+]\0|MM\0[*+]", "a TIFF picture or a camera's raw file"),
        (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|\0MRM|FOVb|II\x1a\0{3}HEAPCCDR", "a camera's raw file"),
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
        (rb"\0\xffKA", "an Affinity file"),
        (rb"BPG\xfb", "a BPG picture"),
        (rb"FLIF", "a FLIF picture"),
        (rb"\x8a[MJ]NG", "an MNG animation"),
        (rb"icns", "an ICNS picture"),
        (rb"\x01\xda[\0\1][\1\2]", "an SGI picture"),
        (rb"\x59\xa6\x6a\x95", "a Sun raster picture"),
        (rb"\x0a[\0\2-\5]\x01[\1\2\4\x08]", "a PCX picture"),
        (rb"/\* XPM \*/", "an XPM picture"),
        (rb"#define \w+ \d", "an XBM picture"),
        (rb"\xabKTX ", "a KTX texture"),
        (rb"AT&TFORM", "a DjVu document"),
        (rb"\x01\0\0\0.{36} EMF", "an EMF drawing"),
        (rb"\xd7\xcd\xc6\x9a", "a WMF drawing"),
        (rb".{128}DICM", "a DICOM file"),
        (rb"SIMPLE  =", "a FITS file"),
        (rb"%PDF", "a PDF document"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.{0,400}-->\s*)?(<!DOCTYPE svg.{0,400})?<svg",
         "an SVG drawing"),
        (rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html|<head|<body)", "an HTML page"),
        (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML document"),
        (rb"(\xef\xbb\xbf)?\s*[\[{]\s*[\[{\"\]}]", "JSON text, not the bytes of a picture"),
        (rb"....(ftyp|moov|mdat|wide)", "a video (MP4 or QuickTime)"),
        (rb"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
        (rb"RIFF....AVI ", "a video (AVI)"),
        (rb"\0\0\x01[\xba\xb3]|\x47.{187}\x47", "a video (MPEG)"),
        (rb"RIFF....WAVE|ID3|OggS|fLaC", "a sound file"),
        (rb"glTF", "a GLB model"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"\x1f\x8b", "a gzip archive"),
        (rb".{257}ustar", "a tar archive"),
        (rb"7z\xbc\xaf", "a 7z archive"),
        (rb"Rar!", "a RAR archive"),
        (rb"\xfd7zXZ", "an xz archive"),
        (rb"BZh[1-9]", "a bzip2 archive"),
        (rb"\x28\xb5\x2f\xfd", "a Zstandard archive"),
        (rb"\x93NUMPY", "an array of NumPy"),
        (rb"\x7fELF|MZ.{58}", "a program"),
        (rb"--[^\r\n]{1,200}\r?\n(?i:content-)", "a form (multipart), not only the photo"),
        (rb"version https://git-lfs", "a pointer of Git LFS, not the file it stands for"),
        (rb"data:[a-z]+/|/9j/[A-Za-z0-9+/]|iVBORw0KGgo|UklGR[A-Za-z0-9+/]|AAAA..Z0eX",
         "base64 text, not the bytes it stands for"),
        (rb"\xc3\xbf\xc3\x98\xc3\xbf|(\xef\xbf\xbd){2}|\xc2\x89PNG",
         "a picture that was changed into text (UTF-8), which cannot be undone"),
        (rb"[a-z]+://[\x21-\x7e]+\s*\Z", "a URL, not the bytes it points to"),
        (rb"(/|~/|\.\.?/|[A-Za-z]:\\)[^\0-\x1f]{1,400}\s*\Z", "a path, not the bytes of the file"),
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


def with_known_brand(data: bytes, format_: str) -> bytes:
    """Return a HEIC or AVIF file with a first brand that decoders accept; other files unchanged.

    Decoders of Pillow look at the first brand only, which may be that of a device. Those that the
    file is compatible with count as well (ISO/IEC 14496-12, 4.3).
    """
    brand = _FIRST_BRANDS.get(format_)
    if brand is None or data[8:12] in _KNOWN_BRANDS:
        return data
    return data[:8] + brand + data[12:]


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
