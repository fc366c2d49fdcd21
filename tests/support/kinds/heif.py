"""Kinds of HEIC and AVIF."""

from __future__ import annotations

import io
from functools import cache, partial
from typing import Final

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from tests.support.photos import TURNED, saved
from tests.support.profiles import PROFILES

from .base import (
    ALPHA,
    GREY,
    OTHER,
    PHOTO,
    Kind,
    Make,
    file_of,
    grey,
    in_profile,
    over_white,
    refused,
    resized,
)
from .jpeg_parts import RDF, tiff

CLEAR: Final = PHOTO.convert("RGBA")
CLEAR.putalpha(ALPHA)
HEIC: Final = cache(file_of("HEIF"))
AVIF: Final = cache(file_of("AVIF"))
P3: Final = PROFILES["Display P3"]


def turned(format_: str, orientation: int) -> Make:
    """The photo as a camera stores it: the container says how it is turned."""
    turn = TURNED[orientation]
    picture = PHOTO if turn is None else PHOTO.transpose(turn)
    exif = Image.Exif()
    exif[0x112] = orientation
    return file_of(format_, picture, exif=exif.tobytes())


def deep(mode: str, depth: int) -> Make:
    """The photo in more than 8 bits."""

    def make() -> bytes:
        picture = CLEAR if mode == "RGBA;16" else PHOTO if mode == "RGB;16" else GREY
        wide = np.asarray(picture).astype(np.uint16) * 257
        heif = pillow_heif.from_bytes(mode, PHOTO.size, wide.tobytes())
        before, pillow_heif.options.SAVE_HDR_TO_12_BIT = (
            pillow_heif.options.SAVE_HDR_TO_12_BIT,
            depth == 12,
        )
        try:
            file = io.BytesIO()
            heif.save(file, quality=85)
        finally:
            pillow_heif.options.SAVE_HDR_TO_12_BIT = before
        return file.getvalue()

    return make


def by_cv2(depth: int) -> Make:
    """An AVIF of OpenCV."""
    flags = (cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 85, cv2.IMWRITE_AVIF_SPEED, 9)
    pixels = np.asarray(PHOTO)[:, :, ::-1]
    if depth > 8:
        pixels = (pixels.astype(int) * ((1 << depth) - 1) // 255).astype(np.uint16)
    return lambda: cv2.imencode(".avif", np.ascontiguousarray(pixels), flags)[1].tobytes()


def brand(of: Make, old: bytes, new: bytes) -> Make:
    """A file with another first brand."""

    def make() -> bytes:
        data = of()
        assert data[8:12] == old
        return data[:8] + new + data[12:]

    return make


def turned_in_xmp(format_: str) -> Make:
    """The photo with XMP that says it is turned; the container does not."""
    upright, other = b'tiff:Orientation="1"', b'tiff:Orientation="6"'
    return lambda: file_of(format_, xmp=RDF % upright)().replace(upright, other)


def second() -> bytes:
    """A file whose second picture is the primary one."""
    return saved(OTHER, "HEIF", save_all=True, append_images=[PHOTO], primary_index=1, quality=80)


BOTH: Final = {"HEIC": "HEIF", "AVIF": "AVIF"}

KINDS: Final[dict[str, Kind]] = {
    **{
        f"{name} turned by {n}": Kind(turned(format_, n))
        for name, format_ in BOTH.items()
        for n in range(1, 9)
    },
    **{
        f"{name} with transparency": Kind(file_of(f, CLEAR), over_white(ALPHA), 5)
        for name, f in BOTH.items()
    },
    **{f"{name} in grey": Kind(file_of(f, GREY), grey) for name, f in BOTH.items()},
    **{
        f"{name} in {profile}": Kind(in_profile(f, p, quality=92), most=5)
        for name, f in BOTH.items()
        for profile, p in PROFILES.items()
    },
    **{
        f"{name} with a broken profile": Kind(file_of(f, icc_profile=bytes(300)))
        for name, f in BOTH.items()
    },
    **{f"{name} with a turn in XMP only": Kind(turned_in_xmp(f)) for name, f in BOTH.items()},
    **{
        f"{name} with EXIF of 100 KB": Kind(file_of(f, exif=tiff({0x112: 1}) + bytes(100_000)))
        for name, f in BOTH.items()
    },
    **{
        f"{name} of several pictures": Kind(file_of(f, save_all=True, append_images=more))
        for name, f, more in (
            ("HEIC", "HEIF", [OTHER]),
            ("AVIF", "AVIF", [OTHER.resize(PHOTO.size)]),
        )
    },
    **{
        f"{name} of {w} x {h}": Kind(
            file_of(f, resized(w, h)), partial(resized, w, h), 5
        )
        for name, f in BOTH.items()
        for w, h in ((81, 101), (319, 399), (322, 402))
    },
    **{
        f"HEIC, colours {c}": Kind(file_of("HEIF", chroma=c)) for c in (420, 422, 444)
    },
    **{
        f"AVIF, colours {s}": Kind(file_of("AVIF", subsampling=s))
        for s in ("4:2:0", "4:2:2", "4:4:4")
    },
    **{
        f"HEIC of quality {q}": Kind(file_of("HEIF", quality=q), most=m)
        for q, m in ((10, 9), (-1, 3))
    },
    **{
        f"AVIF of quality {q}": Kind(file_of("AVIF", quality=q), most=m)
        for q, m in ((10, 9), (100, 3))
    },
    "HEIC of 10 bits": Kind(deep("RGB;16", 10)),
    "HEIC of 12 bits": Kind(deep("RGB;16", 12)),
    "HEIC in grey of 10 bits": Kind(deep("I;16", 10), grey),
    "HEIC of 10 bits with transparency": Kind(deep("RGBA;16", 10), over_white(ALPHA), 5),
    "HEIC of four tiles": Kind(file_of("HEIF", resized(640, 800), tile_size=512),
                               lambda: resized(640, 800)),
    "HEIC of 35 tiles": Kind(file_of("HEIF", tile_size=64)),
    "HEIC of tiles, turned": Kind(
        file_of("HEIF", PHOTO.transpose(Image.Transpose.ROTATE_90), tile_size=64,
                exif=tiff({0x112: 6}))
    ),
    "HEIC of tiles with a profile": Kind(in_profile("HEIF", P3, tile_size=128), most=5),
    "HEIC whose second picture is the primary one": Kind(second),
    "HEIC with thumbnails": Kind(file_of("HEIF", thumbnails=[64, 128])),
    "HEIC without codes of colours": Kind(file_of("HEIF", save_nclx_profile=False), most=6),
    "HEIC in the codes of Display P3": Kind(
        file_of("HEIF", save_nclx_profile=True, color_primaries=12, transfer_characteristics=13,
                matrix_coefficients=1, full_range_flag=1)
    ),
    "HEIC of narrow range": Kind(
        file_of("HEIF", save_nclx_profile=True, color_primaries=1, transfer_characteristics=13,
                matrix_coefficients=6, full_range_flag=0)
    ),
    "HEIC of another first brand": Kind(brand(HEIC, b"heic", b"mif1")),
    "HEIC of an unknown first brand": Kind(brand(HEIC, b"heic", b"abcd")),
    "AVIF of another first brand": Kind(brand(AVIF, b"avif", b"mif1")),
    "AVIF of an unknown first brand": Kind(brand(AVIF, b"avif", b"MA1B")),
    "HEIC with bytes behind its end": Kind(lambda: HEIC() + bytes(4000)),
    "HEIC cut at 90 %": refused(lambda: HEIC()[: len(HEIC()) * 9 // 10], "BROKEN_IMAGE", "HEIC"),
    "HEIC cut in its boxes": refused(lambda: HEIC()[:200], "BROKEN_IMAGE", "HEIC"),
    "HEIC of 15 pixels": refused(
        file_of("HEIF", resized(15, 15)), "INVALID_REQUEST", "each side"
    ),
    "AVIF in grey planes": Kind(file_of("AVIF", subsampling="4:0:0"), grey, 5),
    "AVIF of narrow range": Kind(file_of("AVIF", range="limited")),
    "AVIF in tiles": Kind(file_of("AVIF", tile_rows=1, tile_cols=1)),
    "AVIF of premultiplied transparency": Kind(
        file_of("AVIF", CLEAR, alpha_premultiplied=True), over_white(ALPHA), 6
    ),
    "AVIF of transparency, animated": Kind(
        file_of("AVIF", CLEAR, save_all=True, append_images=[CLEAR]), over_white(ALPHA), 5
    ),
    **{f"AVIF of {d} bits": Kind(by_cv2(d), most=5) for d in (8, 10, 12)},
    "AVIF with bytes behind its end": Kind(lambda: AVIF() + bytes(4000)),
    "AVIF cut at 90 %": refused(lambda: AVIF()[: len(AVIF()) * 9 // 10], "BROKEN_IMAGE", "AVIF"),
    "AVIF cut in its boxes": refused(lambda: AVIF()[:200], "BROKEN_IMAGE", "AVIF"),
}  # fmt: skip
