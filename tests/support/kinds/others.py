"""Kinds of file that are no picture the service reads; the refusal names them."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import tarfile
import zipfile
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from tests.support.photos import saved

from .base import GREY, OTHER, PHOTO, Kind, Make, file_of, named
from .jpeg_parts import PLAIN


def tiff(picture: Image.Image = PHOTO, **options: Any) -> Kind:
    """A TIFF."""
    return named(file_of("TIFF", picture, **options), "TIFF")


def raw(head: bytes) -> Make:
    """A file that begins with these bytes."""
    return lambda: head.ljust(600, b"\0")


def wide() -> Image.Image:
    """The photo in grey of 16 bits."""
    return Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)


def zipped() -> bytes:
    """An archive with the photo."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("face.jpg", PLAIN)
    return file.getvalue()


def tarred() -> bytes:
    """An archive with the photo."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("face.jpg")
        info.size = len(PLAIN)
        archive.addfile(info, io.BytesIO(PLAIN))
    return file.getvalue()


def array() -> bytes:
    """The pixels as NumPy saves them."""
    file = io.BytesIO()
    np.save(file, np.asarray(PHOTO))
    return file.getvalue()


FORM: Final = (
    b'--------------------------5f3c\r\nContent-Disposition: form-data; name="file"; '
    b'filename="face.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + PLAIN
)

KINDS: Final[dict[str, Kind]] = {
    "TIFF": tiff(),
    **{
        f"TIFF packed by {c}": tiff(compression=c)
        for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "TIFF of fax": tiff(PHOTO.convert("1"), compression="group4"),
    "TIFF of 16 bits": tiff(wide()),
    "TIFF of floats": tiff(Image.fromarray(np.asarray(GREY, np.float32))),
    "TIFF in CMYK": tiff(PHOTO.convert("CMYK")),
    "TIFF of pages": tiff(save_all=True, append_images=[OTHER]),
    "BigTIFF": tiff(big_tiff=True),
    "TIFF, big-endian": named(raw(b"MM\0*\0\0\0\x08"), "TIFF"),
    "GIF": named(file_of("GIF"), "GIF"),
    "GIF, animated": named(file_of("GIF", save_all=True, append_images=[OTHER]), "GIF"),
    "GIF of 1987": named(lambda: b"GIF87a" + file_of("GIF")()[6:], "GIF"),
    "BMP": named(file_of("BMP"), "BMP"),
    "BMP of a palette": named(file_of("BMP", PHOTO.quantize(16)), "BMP"),
    "BMP of one bit": named(file_of("BMP", PHOTO.convert("1")), "BMP"),
    "JPEG 2000": named(file_of("JPEG2000"), "JPEG 2000"),
    "JPEG 2000, bare": named(file_of("JPEG2000", no_jp2=True), "JPEG 2000"),
    "JPEG XL, bare": named(raw(b"\xff\x0a"), "JPEG XL"),
    "JPEG XL": named(raw(b"\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
    "JPEG XR": named(raw(b"II\xbc\1"), "JPEG XR"),
    "ICO": named(file_of("ICO"), "ICO"),
    "CUR": named(raw(b"\0\0\2\0\1\0  \0\0"), "CUR"),
    "ICNS": named(file_of("ICNS", PHOTO.resize((128, 128))), "ICNS"),
    **{
        f"PNM of mode {mode}": named(file_of("PPM", PHOTO.convert(mode)), "PNM")
        for mode in ("1", "L", "RGB")
    },
    "PAM": named(raw(b"P7\nWIDTH 2\n"), "PNM"),
    "PFM": named(raw(b"PF\n320 400\n-1.0\n"), "PNM"),
    "DDS": named(file_of("DDS", PHOTO.convert("RGBA")), "DDS"),
    "QOI": named(file_of("QOI"), "QOI"),
    "SGI": named(file_of("SGI"), "SGI"),
    "Sun raster": named(raw(b"\x59\xa6\x6a\x95"), "Sun"),
    "PCX": named(file_of("PCX"), "PCX"),
    "XPM": named(raw(b"/* XPM */\nstatic char"), "XPM"),
    "XBM": named(file_of("XBM", PHOTO.convert("1")), "XBM"),
    "OpenEXR": named(raw(b"v/1\1\2\0\0\0"), "OpenEXR"),
    "Radiance HDR": named(
        lambda: cv2.imencode(".hdr", np.asarray(PHOTO, np.float32) / 255)[1].tobytes(), "Radiance"
    ),
    "FLIF": named(raw(b"FLIF44"), "FLIF"),
    "BPG": named(raw(b"BPG\xfb"), "BPG"),
    "Photoshop": named(raw(b"8BPS\0\1"), "Photoshop"),
    "large Photoshop": named(raw(b"8BPS\0\2"), "Photoshop"),
    "GIMP": named(raw(b"gimp xcf v011\0"), "GIMP"),
    "Affinity": named(raw(b"\0\xffKA"), "Affinity"),
    "DICOM": named(raw(bytes(128) + b"DICM"), "DICOM"),
    "FITS": named(raw(b"SIMPLE  =                    T"), "FITS"),
    "KTX 2": named(raw(b"\xabKTX 20\xbb\r\n\x1a\n"), "KTX"),
    "EMF": named(raw(b"\1\0\0\0" + bytes(36) + b" EMF"), "EMF"),
    "WMF": named(raw(b"\xd7\xcd\xc6\x9a"), "WMF"),
    "DjVu": named(raw(b"AT&TFORM\0\0\0\0DJVU"), "DjVu"),
    # Raw files of cameras.
    "CR2": named(raw(b"II*\0\x10\0\0\0CR\2\0"), "CR2"),
    "CR3": named(raw(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"), "CR3"),
    "CRW": named(raw(b"II\x1a\0\0\0HEAPCCDR"), "raw"),
    "RAF": named(raw(b"FUJIFILMCCD-RAW 0201FF383501"), "raw"),
    "ORF": named(raw(b"IIRO\x08\0\0\0"), "raw"),
    "RW2": named(raw(b"IIU\0\x18\0\0\0"), "raw"),
    "MRW": named(raw(b"\0MRM\0\0"), "raw"),
    "X3F": named(raw(b"FOVb\1\0\3\0"), "raw"),
    "NEF, ARW, DNG": named(raw(b"II*\0\x08\0\0\0"), "raw"),
    # Videos and sounds.
    "MP4": named(raw(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"), "video"),
    "live photo": named(raw(b"\0\0\0\x14ftypqt  \0\0\0\0qt  "), "video"),
    "QuickTime without a brand": named(raw(b"\0\0\x10\0moov"), "video"),
    "WebM": named(raw(b"\x1a\x45\xdf\xa3\x01"), "video"),
    "AVI": named(raw(b"RIFF\0\1\0\0AVI LIST"), "video"),
    "MPEG stream": named(raw(b"\0\0\1\xba"), "video"),
    "3GP": named(raw(b"\0\0\0\x18ftyp3gp5"), "video"),
    "WAV": named(raw(b"RIFF\0\1\0\0WAVEfmt "), "sound"),
    "MP3": named(raw(b"ID3\3\0\0"), "sound"),
    "Ogg": named(raw(b"OggS\0\2"), "sound"),
    "FLAC": named(raw(b"fLaC\0\0\0\x22"), "sound"),
    # Documents, archives, models.
    "PDF": named(file_of("PDF"), "PDF"),
    "EPS": named(file_of("EPS"), "PostScript"),
    "EPS with a preview": named(raw(b"\xc5\xd0\xd3\xc6"), "PostScript"),
    "SVG": named(lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "SVG with a head": named(
        lambda: b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- -->\n<!DOCTYPE svg PUBLIC 'x'>\n<svg/>",
        "SVG",
    ),
    "HTML": named(lambda: b"<!DOCTYPE html>\n<html><title>404</title></html>", "HTML"),
    "HTML without a type": named(lambda: b"  <html><body>Not found</body></html>", "HTML"),
    "XML": named(lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    "JSON": named(lambda: b'{"image": "%s"}' % base64.b64encode(PLAIN), "JSON"),
    "JSON of an error": named(lambda: b'[{"error": "not found"}]', "JSON"),
    "form of a browser": named(lambda: FORM, "form"),
    "base64 of a JPEG": named(lambda: base64.b64encode(PLAIN), "base64"),
    "base64 of a PNG": named(lambda: base64.b64encode(saved(PHOTO, "PNG")), "base64"),
    "base64 of a WebP": named(lambda: base64.b64encode(saved(PHOTO, "WEBP")), "base64"),
    "base64 of a HEIC": named(lambda: base64.b64encode(saved(PHOTO, "HEIF")), "base64"),
    "data URL": named(lambda: b"data:image/jpeg;base64," + base64.b64encode(PLAIN), "base64"),
    "path": named(lambda: b"/home/user/Pictures/face.jpg", "path"),
    "URL": named(lambda: b"https://example.org/face.jpg", "URL"),
    "pointer of Git LFS": named(
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"
    ),
    "ZIP": named(zipped, "ZIP"),
    "gzip": named(lambda: gzip.compress(PLAIN), "gzip"),
    "tar": named(tarred, "tar"),
    "7z": named(raw(b"7z\xbc\xaf\x27\x1c"), "7z"),
    "RAR": named(raw(b"Rar!\x1a\7\1\0"), "RAR"),
    "xz": named(raw(b"\xfd7zXZ\0"), "xz"),
    "Zstandard": named(raw(b"\x28\xb5\x2f\xfd"), "Zstandard"),
    "bzip2": named(raw(b"BZh91AY&SY"), "bzip2"),
    "GLB": named(raw(b"glTF\2\0\0\0"), "GLB"),
    "array of NumPy": named(array, "NumPy"),
    "program": named(raw(b"\x7fELF\2\1\1"), "program"),
    # Nothing to name.
    "TGA": named(file_of("TGA"), "not a picture"),
    "zeros": named(lambda: bytes(5000), "not a picture"),
    "text": named(lambda: b"hello", "not a picture"),
    "JPEG behind a newline": named(lambda: b"\r\n" + PLAIN, "not a picture"),
    "JPEG behind a byte order mark": named(lambda: b"\xef\xbb\xbf" + PLAIN, "not a picture"),
    "JPEG as text of UTF-8": named(lambda: PLAIN.decode("latin-1").encode(), "text"),
    "JPEG with lost bytes": named(
        lambda: PLAIN.decode("utf-8", "replace").encode(), "text"
    ),
    "JPEG behind its length": named(lambda: struct.pack(">I", len(PLAIN)) + PLAIN, "not a picture"),
}  # fmt: skip
