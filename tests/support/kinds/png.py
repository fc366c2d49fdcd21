"""Kinds of PNG."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from tests.support.hostile_parts import chunk
from tests.support.photos import TURNED, saved
from tests.support.profiles import PROFILES, converted

from .base import (
    ALPHA,
    GREY,
    OTHER,
    PHOTO,
    Kind,
    Make,
    Show,
    file_of,
    grey,
    in_profile,
    over_white,
    quantized,
    refused,
    resized,
)
from .jpeg_parts import tiff
from .png_writer import encoded

RGB: Final = np.asarray(PHOTO)


def plain(**options: Any) -> Make:
    """The photo in 8 bits, with options of ``encoded``."""
    return lambda: encoded(RGB, 8, 2, **options)


def levels(depth: int) -> np.ndarray:
    """The grey photo in so many bits; up to two bits as dots, which show the face."""
    if depth < 4:
        few = Image.new("P", (1, 1))
        few.putpalette([v * 255 // ((1 << depth) - 1) for v in range(1 << depth) for _ in "RGB"])
        return np.asarray(grey().quantize(palette=few)).astype(int)
    return np.asarray(GREY).astype(int) * ((1 << depth) - 1) // 255


def in_grey(depth: int, interlaced: bool) -> bytes:
    """The grey photo in so many bits, as a file."""
    return encoded(levels(depth), depth, 0, interlaced=interlaced)


def coarse(depth: int) -> Show:
    """The grey photo in so many bits, shown in 8."""
    top = (1 << depth) - 1
    return lambda: Image.fromarray((levels(depth) * 255 // top).astype(np.uint8)).convert("RGB")


def indexed(depth: int, interlaced: bool) -> Kind:
    """The photo with a palette."""

    def make() -> bytes:
        picture = quantized(1 << depth)
        palette = chunk(b"PLTE", bytes(picture.getpalette() or [])[: 3 << depth])
        return encoded(np.asarray(picture), depth, 3, interlaced=interlaced, before=palette)

    return Kind(make, lambda: quantized(1 << depth).convert("RGB"), 1)


def deep(colour: int, interlaced: bool) -> Kind:
    """The photo in 16 bits a sample."""
    samples = {0: GREY, 2: PHOTO, 4: GREY.convert("LA"), 6: PHOTO.convert("RGBA")}[colour]
    show = grey if colour in (0, 4) else (lambda: PHOTO)
    return Kind(
        lambda: encoded(np.asarray(samples).astype(int) * 257, 16, colour, interlaced=interlaced),
        show,
        2,
    )


def animated(**options: Any) -> Make:
    """The photo, then another picture (APNG)."""
    frames = {"save_all": True, "append_images": [OTHER.resize(PHOTO.size)], **options}
    return lambda: saved(PHOTO, "PNG", **frames)


KEY: Final = tuple(int(v) for v in RGB[5, 5])


def _without_key() -> Image.Image:
    pixels = RGB.copy()
    pixels[(pixels == KEY).all(axis=2)] = 255
    return Image.fromarray(pixels)


TEXTS: Final = {
    "text": chunk(b"tEXt", b"Comment\0made by hand"),
    "packed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 9999)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>"),
    "a turn of ImageMagick": chunk(
        b"zTXt",
        b"Raw profile type exif\0\0"
        + zlib.compress(b"\nexif\n 32\n" + tiff({0x112: 6}).hex().encode()),
    ),
    "a time": chunk(b"tIME", b"\x07\xea\1\2\3\4\5"),
    "a background": chunk(b"bKGD", bytes(6)),
    "flat pixels": chunk(b"pHYs", struct.pack(">IIB", 1000, 2000, 1)),
    "significant bits": chunk(b"sBIT", b"\5\6\5"),
    "a suggested palette": chunk(b"sPLT", b"p\0\x08" + bytes(6)),
    "sRGB": chunk(b"sRGB", b"\0"),
    "the exponent of sRGB": chunk(b"gAMA", struct.pack(">I", 45455)),
    "the primaries of sRGB": chunk(
        b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    ),
    "codes of sRGB": chunk(b"cICP", b"\1\x0d\0\1"),
    "an unknown chunk": chunk(b"teSt", bytes(300)),
    "EXIF of 200 KB": chunk(b"eXIf", tiff({0x112: 1})[6:] + bytes(200_000)),
    "a C2PA signature": chunk(b"caBX", bytes(5000)),
}


def _of_apple() -> bytes:
    """As Xcode writes it: blue first, and no header of zlib."""
    whole = encoded(RGB[:, :, ::-1], 8, 2, first=chunk(b"CgBI", b"\x50\0\x20\2"))
    at = whole.index(b"IDAT")
    size = int.from_bytes(whole[at - 4 : at])
    return whole[: at - 4] + chunk(b"IDAT", whole[at + 6 : at + size]) + chunk(b"IEND")


def _with_alpha(picture: Image.Image) -> Image.Image:
    clear = picture.convert("RGBA" if picture.mode == "RGB" else "LA")
    clear.putalpha(ALPHA)
    return clear


def _turned(orientation: int) -> Image.Image:
    turn = TURNED[orientation]
    return PHOTO if turn is None else PHOTO.transpose(turn)


KINDS: Final[dict[str, Kind]] = {
    **{
        f"PNG of filter {name}": Kind(plain(filter_=i), most=0)
        for i, name in enumerate(("none", "sub", "up", "average", "Paeth", "that changes"))
    },
    "PNG, interlaced": Kind(plain(interlaced=True), most=0),
    "PNG, interlaced and filtered": Kind(plain(interlaced=True, filter_=4), most=0),
    "PNG in a thousand pieces": Kind(plain(pieces=1000), most=0),
    "PNG in bytes": Kind(
        lambda: encoded(np.asarray(resized(160, 200)), 8, 2, pieces=30_000),
        partial(resized, 160, 200), 0,
    ),
    "PNG without compression": Kind(file_of("PNG", compress_level=0), most=0),
    "PNG of most compression": Kind(file_of("PNG", compress_level=9, optimize=True), most=0),
    **{
        f"PNG in grey of {depth} bits{', interlaced' * i}": Kind(
            partial(in_grey, depth, bool(i)), coarse(depth), 1, coarse=depth < 4
        )
        for depth in (1, 2, 4, 8)
        for i in (0, 1)
    },
    **{
        f"PNG with a palette of {depth} bits{', interlaced' * i}": indexed(depth, bool(i))
        for depth in (1, 2, 4, 8)
        for i in (0, 1)
    },
    **{
        f"PNG of 16 bits, colour type {colour}{', interlaced' * i}": deep(colour, bool(i))
        for colour in (0, 2, 4, 6)
        for i in (0, 1)
    },
    "PNG of OpenCV, 16 bits": Kind(
        lambda: cv2.imencode(".png", RGB[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes(), most=1
    ),
    "PNG with transparency": Kind(
        lambda: saved(_with_alpha(PHOTO), "PNG"), over_white(ALPHA), 2
    ),
    "PNG with transparency, interlaced": Kind(
        lambda: encoded(np.asarray(_with_alpha(PHOTO)), 8, 6, interlaced=True), over_white(ALPHA), 2
    ),
    "PNG in grey with transparency": Kind(
        lambda: saved(_with_alpha(GREY), "PNG"),
        lambda: Image.composite(grey(), Image.new("RGB", PHOTO.size, "white"), ALPHA), 2,
    ),
    "PNG with a transparent colour": Kind(
        plain(before=chunk(b"tRNS", struct.pack(">3H", *KEY))), _without_key, 1
    ),
    "PNG in grey with a transparent level": Kind(
        lambda: encoded(levels(8), 8, 0, before=chunk(b"tRNS", b"\0\0")),
        lambda: GREY.point(lambda v: 255 if v == 0 else v).convert("RGB"), 1,
    ),
    "PNG with a palette and transparency": Kind(
        lambda: saved(quantized(256), "PNG", transparency=0),
        lambda: Image.composite(
            Image.new("RGB", PHOTO.size, "white"), quantized(256).convert("RGB"),
            Image.fromarray((np.asarray(quantized(256)) == 0).astype(np.uint8) * 255),
        ), 1,
    ),
    "PNG with a palette of half transparency": Kind(
        lambda: saved(quantized(256), "PNG", transparency=bytes([255] * 200)),
        lambda: quantized(256).convert("RGB"), 1,
    ),
    "APNG": Kind(animated(), most=0),
    "APNG that begins with another picture": Kind(animated(default_image=True), most=0),
    "APNG of blended frames": Kind(animated(disposal=2, blend=1), most=0),
    **{
        f"PNG turned by EXIF {n}": Kind(
            file_of("PNG", _turned(n), exif=tiff({0x112: n})), most=0
        )
        for n in range(1, 9)
    },
    "PNG turned by EXIF behind its pixels": Kind(
        lambda: encoded(np.asarray(_turned(6)), 8, 2,
                        behind=chunk(b"eXIf", tiff({0x112: 6})[6:])), most=0
    ),
    **{f"PNG in {name}": Kind(
        in_profile("PNG", p), most=3
    ) for name, p in PROFILES.items()},
    "PNG of 16 bits in Display P3": Kind(
        lambda: encoded(
            np.asarray(converted(PHOTO, PROFILES["Display P3"])).astype(int) * 257, 16, 2,
            before=chunk(b"iCCP", b"p\0\0" + zlib.compress(PROFILES["Display P3"])),
        ), most=3,
    ),
    "PNG with a profile that does not unpack": Kind(
        plain(before=chunk(b"iCCP", b"p\0\0" + bytes(100))), most=0
    ),
    **{f"PNG with {name}": Kind(plain(before=extra), most=0) for name, extra in TEXTS.items()},
    "PNG with text behind its pixels": Kind(plain(behind=TEXTS["XMP"]), most=0),
    "PNG with bytes behind its end": Kind(lambda: plain()() + b"trailer" * 99, most=0),
    # Damage and other things.
    "PNG of Apple's own kind": refused(
        _of_apple, "BROKEN_IMAGE", "CgBI"
    ),
    "PNG without its end": Kind(lambda: plain()()[:-12], most=0),
    "PNG cut at half": refused(
        lambda: (d := plain()())[: len(d) // 2], "BROKEN_IMAGE", "PNG"
    ),
    "PNG with line ends of text": refused(
        lambda: plain()().replace(b"\r\n", b"\n"), "UNSUPPORTED_FORMAT", "PNG"
    ),
    "PNG of 30 megapixels": refused(
        lambda: saved(Image.new("1", (6000, 5000)), "PNG"), "IMAGE_TOO_LARGE", "26000000"
    ),
    "PNG of 400 x 15": refused(
        lambda: saved(PHOTO.resize((400, 15)), "PNG"), "INVALID_REQUEST", "each side"
    ),
    "MNG": refused(lambda: b"\x8aMNG\r\n\x1a\n" + bytes(99), "UNSUPPORTED_FORMAT", "MNG"),
}  # fmt: skip
