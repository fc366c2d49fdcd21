"""Kinds of JPEG."""

from __future__ import annotations

from functools import partial
from typing import Final

import cv2
from PIL import Image

from tests.support.hostile_parts import segment
from tests.support.photos import saved
from tests.support.profiles import PROFILES, SRGB, converted, grey_profile

from .base import GREY, OTHER, PHOTO, Kind, file_of, grey, refused, resized
from .jpeg_parts import (
    LAB,
    P3,
    PLAIN,
    RDF,
    SAMPLINGS,
    THUMBNAIL,
    XMP,
    before_tables,
    before_tables_of,
    by_cv2,
    components,
    exif_with_thumbnail,
    in_exif,
    profile_segments,
    several,
    srgb_level,
    stored,
    tiff,
    with_profile,
)

KINDS: Final[dict[str, Kind]] = {
    **{
        f"JPEG of quality {q}": Kind(file_of("JPEG", quality=q), most=most)
        for q, most in ((1, 25), (5, 14), (10, 9), (30, 6), (60, 5), (75, 4), (95, 2), (100, 2))
    },
    **{
        f"JPEG, colours {s}, {'progressive' if p else 'baseline'}": Kind(
            file_of("JPEG", subsampling=s, progressive=p)
        )
        for s in ("4:4:4", "4:2:2", "4:2:0")
        for p in (False, True)
    },
    **{
        f"JPEG, colours {name}": Kind(by_cv2(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor))
        for name, factor in SAMPLINGS.items()
    },
    "JPEG of OpenCV, progressive": Kind(by_cv2(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "JPEG with its own codes": Kind(file_of("JPEG", optimize=True)),
    "JPEG with restarts after each block": Kind(file_of("JPEG", restart_marker_blocks=1)),
    "JPEG with restarts after each row": Kind(file_of("JPEG", restart_marker_rows=1)),
    "JPEG, progressive, with restarts": Kind(
        file_of("JPEG", progressive=True, restart_marker_rows=2)
    ),
    "JPEG in RGB": Kind(file_of("JPEG", keep_rgb=True)),
    "JPEG in RGB by the names of its components": Kind(components(b"RGB")),
    "JPEG whose components are 0, 1, 2": Kind(components(b"\0\1\2")),
    "JPEG without JFIF": Kind(components(b"\1\2\3")),
    "JPEG in grey": Kind(file_of("JPEG", GREY), grey),
    "JPEG in grey, progressive": Kind(file_of("JPEG", GREY, progressive=True), grey),
    "JPEG in CMYK of Adobe": Kind(file_of("JPEG", PHOTO.convert("CMYK"))),
    "JPEG in CMYK, progressive": Kind(file_of("JPEG", PHOTO.convert("CMYK"), progressive=True)),
    "JPEG of one bit": Kind(
        file_of("JPEG", PHOTO.convert("1")), lambda: PHOTO.convert("1").convert("RGB"), 12
    ),
    **{f"JPEG turned by EXIF {n}": Kind(in_exif(n)) for n in range(1, 9)},
    "JPEG turned by EXIF 0": Kind(before_tables(segment(0xE1, tiff({0x112: 0})))),
    "JPEG turned by EXIF 9": Kind(before_tables(segment(0xE1, tiff({0x112: 9})))),
    "JPEG turned by big-endian EXIF": Kind(
        before_tables_of(stored(6), segment(0xE1, tiff({0x112: 6}, big=True)))
    ),
    "JPEG turned by EXIF of 32 bits": Kind(
        before_tables_of(stored(8), segment(0xE1, tiff({0x112: (4, 8)})))
    ),
    "JPEG with a turn of the wrong type": Kind(before_tables(segment(0xE1, tiff({0x112: (1, 3)})))),
    "JPEG with EXIF twice": Kind(
        before_tables_of(
            stored(6), segment(0xE1, tiff({0x112: 6})), segment(0xE1, tiff({0x112: 3}))
        )
    ),
    "JPEG with EXIF behind its tables": Kind(
        lambda: (
            (data := saved(stored(6), "JPEG", quality=92))[: (at := data.index(b"\xff\xc0"))]
            + segment(0xE1, tiff({0x112: 6}))
            + data[at:]
        )
    ),
    "JPEG whose thumbnail is another and turned": Kind(
        before_tables(segment(0xE1, exif_with_thumbnail()))
    ),
    "JPEG with an EXIF block of 64 KiB": Kind(
        before_tables(segment(0xE1, tiff({0x112: 1}) + bytes(65_000)))
    ),
    "JPEG with an EXIF prefix only": Kind(before_tables(segment(0xE1, b"Exif\0\0"))),
    "JPEG with a turn in XMP only": Kind(
        before_tables(segment(0xE1, XMP + RDF % b'tiff:Orientation="6"'))
    ),
    "JPEG with a thumbnail in JFIF": Kind(
        lambda: (
            PLAIN[:2]
            + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\x10\x10" + bytes(768))
            + PLAIN[4 + int.from_bytes(PLAIN[4:6]) :]
        )
    ),
    "JPEG with a thumbnail in JFXX": Kind(
        before_tables(segment(0xE0, b"JFXX\0\x10" + THUMBNAIL[:60_000]))
    ),
    "JPEG of flat pixels": Kind(
        lambda: PLAIN[:13] + b"\0\0\1\0\2" + PLAIN[18:] if PLAIN[6:10] == b"JFIF" else b""
    ),
    "JPEG of 1200 dpi": Kind(file_of("JPEG", dpi=(1200, 1200))),
    "JPEG with a comment of 64 KiB": Kind(before_tables(segment(0xFE, b"comment " * 8000))),
    "JPEG with a comment in UTF-16": Kind(
        before_tables(segment(0xFE, "Grüße 你好".encode("utf-16")))
    ),
    "JPEG of Photoshop": Kind(
        before_tables(
            segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\x0e\x1c\2\0\0\2\0\4" + bytes(8)),
            segment(0xEC, b"Ducky\0\1\0\4\0\0\0\x3c\0\0"),
            segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
        )
    ),
    "JPEG of FlashPix": Kind(before_tables(segment(0xE2, b"FPXR\0\0" + bytes(300)))),
    "JPEG with a signature of C2PA": Kind(
        before_tables(segment(0xEB, b"JP\0\1\0\0\0\1\0\0\1\0jumb" + bytes(240)))
    ),
    "JPEG with 40 application segments": Kind(
        before_tables(*(segment(0xE0 + i % 16, b"vendor" + bytes(900)) for i in range(1, 41)))
    ),
    "JPEG with fill bytes before each marker": Kind(
        lambda: PLAIN[:2] + b"\xff" * 7 + PLAIN[2:20] + b"\xff" * 3 + PLAIN[20:]
    ),
    # Colours.
    **{f"JPEG in {name}": Kind(with_profile(name), most=5) for name in PROFILES},
    "JPEG in sRGB, with its profile": Kind(file_of("JPEG", icc_profile=SRGB.tobytes())),
    "JPEG with a profile in 9 pieces": Kind(profile_segments(P3, (*range(1, 10),), 9), most=5),
    "JPEG with a profile in pieces that are shuffled": Kind(
        profile_segments(P3, (3, 1, 2), 3), most=5
    ),
    "JPEG with a profile that lacks a piece": Kind(
        profile_segments(P3, (1, 3), 3), lambda: converted(PHOTO, P3), 4
    ),
    "JPEG with a profile cut short": Kind(file_of("JPEG", icc_profile=P3[:200])),
    "JPEG with a profile of zeros": Kind(file_of("JPEG", icc_profile=bytes(500))),
    "JPEG with a profile of Lab": Kind(file_of("JPEG", icc_profile=LAB)),
    "JPEG with a profile of grey": Kind(file_of("JPEG", icc_profile=grey_profile(1.0))),
    "JPEG in grey with a profile of colours": Kind(file_of("JPEG", GREY, icc_profile=P3), grey),
    "JPEG in grey of exponent 1.8": Kind(
        file_of("JPEG", GREY, icc_profile=grey_profile(1.8)),
        lambda: GREY.point([round(255 * srgb_level((i / 255) ** 1.8)) for i in range(256)]).convert(
            "RGB"
        ),
    ),
    "JPEG in CMYK with a profile of colours": Kind(
        file_of("JPEG", PHOTO.convert("CMYK"), icc_profile=P3)
    ),
    # Several pictures, and what phones put behind them.
    "MPO of two": Kind(several(OTHER)),
    "MPO of five": Kind(several(*[OTHER] * 4)),
    "MPO of two eyes": Kind(several(PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT))),
    "JPEG with a gain map (Ultra HDR)": Kind(
        several(
            GREY.resize((80, 100)),
            extra=segment(
                0xE1,
                XMP
                + RDF % b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"',
            ),
        )
    ),
    "JPEG with a gain map (ISO 21496-1)": Kind(
        several(
            GREY.resize((80, 100)),
            extra=segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)),
        )
    ),
    "JPEG with a depth map in XMP": Kind(
        before_tables(
            segment(0xE1, XMP + RDF % b'GDepth:Format="RangeInverse" xmpNote:HasExtendedXMP="A"'),
            segment(
                0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + bytes(8) + bytes(60_000)
            ),
        )
    ),
    "JPEG with a video behind it": Kind(
        lambda: PLAIN + b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(50_000)
    ),
    "JPEG of Samsung with a trailer": Kind(
        lambda: PLAIN + b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1600000000000SEFH\x6b\0\0\0SEFT"
    ),
    "JPEG with sound behind it": Kind(lambda: PLAIN + b"RIFF\x24\0\0\0WAVEfmt " + bytes(30)),
    "JPEG with a newline behind it": Kind(lambda: PLAIN + b"\r\n"),
    "JPEG padded to a sector": Kind(lambda: PLAIN + bytes(-len(PLAIN) % 4096)),
    # Sizes.
    **{
        f"JPEG of {w} x {h}": Kind(
            file_of("JPEG", resized(w, h)),
            partial(resized, w, h),
        )
        for w, h in (
            *((80, 100), (161, 201), (319, 399), (321, 401), (640, 800)),
            *((1279, 1599), (400, 400), (320, 300)),
        )
    },
    # Damage and other things.
    "JPEG without its end": refused(lambda: PLAIN[:-2], "BROKEN_IMAGE", "truncated"),
    "JPEG cut at 90 %": refused(lambda: PLAIN[: len(PLAIN) * 9 // 10], "BROKEN_IMAGE", "JPEG"),
    "JPEG cut at half": refused(lambda: PLAIN[: len(PLAIN) // 2], "BROKEN_IMAGE", "JPEG"),
    "progressive JPEG cut at half": refused(
        lambda: (d := file_of("JPEG", progressive=True)())[: len(d) // 2], "BROKEN_IMAGE", "JPEG"
    ),
    "JPEG that ends behind its tables": refused(
        lambda: PLAIN[: PLAIN.index(b"\xff\xc0")], "BROKEN_IMAGE", "JPEG"
    ),
    "JPEG-LS": refused(lambda: PLAIN.replace(b"\xff\xc0", b"\xff\xf7", 1), "BROKEN_IMAGE", "JPEG"),
    "JPEG of 54 megapixels": refused(
        lambda: saved(Image.new("L", (9000, 6000)), "JPEG"), "IMAGE_TOO_LARGE", "52000000"
    ),
    "JPEG of 15 x 400": refused(
        lambda: saved(resized(15, 400), "JPEG"), "INVALID_REQUEST", "each side must have 16"
    ),
}
