"""Parts of JPEGs, and how the photo is stored in many of them."""

from __future__ import annotations

import io
import struct
from typing import Any, Final

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

from tests.support.hostile_parts import segment
from tests.support.photos import TURNED, saved
from tests.support.profiles import PROFILES, converted

from .base import OTHER, PHOTO, Make, file_of

PLAIN: Final = file_of("JPEG")()
XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
RDF: Final = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description %s/></rdf:RDF></x:xmpmeta>'
)
SAMPLINGS: Final = {
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
}


def behind_start(*segments: bytes) -> Make:
    """The photo with segments before all others."""
    return lambda: PLAIN[:2] + b"".join(segments) + PLAIN[2:]


def before_tables(*segments: bytes) -> Make:
    """The photo with segments behind the JFIF one."""
    end = 4 + int.from_bytes(PLAIN[4:6])
    return lambda: PLAIN[:end] + b"".join(segments) + PLAIN[end:]


def tiff(tags: dict[int, Any], *, big: bool = False) -> bytes:
    """An EXIF block with these tags in its first directory, with its prefix."""
    order, entries = "><"[not big], b""
    for tag, value in sorted(tags.items()):
        kind, number = value if isinstance(value, tuple) else (3, value)
        packed = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind], number).ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, 1) + packed
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IH", 8, len(tags))
    return b"Exif\0\0" + head + entries + bytes(4)


def in_exif(orientation: int) -> Make:
    """The photo stored as a camera does that was held differently."""
    return before_tables_of(stored(orientation), segment(0xE1, tiff({0x112: orientation})))


def before_tables_of(picture: Image.Image, *segments: bytes) -> Make:
    """Another picture with segments before all others."""

    def make() -> bytes:
        data = saved(picture, "JPEG", quality=92)
        return data[:2] + b"".join(segments) + data[2:]

    return make


def stored(orientation: int) -> Image.Image:
    turn = TURNED[orientation]
    return PHOTO if turn is None else PHOTO.transpose(turn)


def by_cv2(*flags: int) -> Make:
    """The photo as OpenCV writes it."""
    return lambda: cv2.imencode(".jpg", np.asarray(PHOTO)[:, :, ::-1], flags)[1].tobytes()


def with_profile(name: str) -> Make:
    """The photo in the colours of a profile."""
    profile = PROFILES[name]
    return lambda: saved(converted(PHOTO, profile), "JPEG", quality=95, icc_profile=profile)


def profile_segments(profile: bytes, order: tuple[int, ...], count: int) -> Make:
    """The photo in Display P3, its profile cut into pieces that come in an order."""

    def make() -> bytes:
        size = -(-len(profile) // count)
        pieces = [profile[i * size : (i + 1) * size] for i in range(count)]
        parts = [segment(0xE2, b"ICC_PROFILE\0" + bytes((i, count)) + pieces[i - 1]) for i in order]
        data = saved(converted(PHOTO, profile), "JPEG", quality=95)
        return data[:2] + b"".join(parts) + data[2:]

    return make


def several(*pictures: Image.Image, extra: bytes = b"") -> Make:
    """A file of several pictures (CIPA DC-007), the photo first."""

    def make() -> bytes:
        file = io.BytesIO()
        options = {
            "save_all": True,
            "append_images": [other.copy() for other in pictures],
            "quality": 92,
        }
        PHOTO.copy().save(file, "MPO", **options)
        data = file.getvalue()
        return data[:2] + extra + data[2:]

    return make


def components(names: bytes) -> Make:
    """The photo without JFIF, its components with other names."""

    def make() -> bytes:
        picture = PHOTO if names == b"RGB" else PHOTO.convert("YCbCr")
        data = bytearray(saved(picture, "JPEG", quality=92, keep_rgb=names == b"RGB"))
        del data[2 : 4 + int.from_bytes(data[4:6])]
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        for i, name in enumerate(names):
            data[frame + 10 + 3 * i] = name
            data[scan + 5 + 2 * i] = name
        return bytes(data)

    return make


P3: Final = PROFILES["Display P3"]
LAB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
THUMBNAIL: Final = saved(OTHER, "JPEG")


def exif_with_thumbnail() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    body = exif.tobytes()[:-4]
    offset = len(body) - 6 + 4
    ifd = struct.pack("<H", 3)
    ifd += struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    ifd += struct.pack("<HHII", 0x201, 4, 1, offset + 2 + 36 + 4)
    ifd += struct.pack("<HHII", 0x202, 4, 1, len(THUMBNAIL)) + bytes(4)
    return body + struct.pack("<I", offset) + ifd + THUMBNAIL


def srgb_level(linear: float) -> float:
    """The sRGB value of linear light, 0 to 1 (IEC 61966-2-1)."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
