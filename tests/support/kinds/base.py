"""What a kind of picture file is, and the photo that all of them show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pillow_heif
from PIL import Image

from protome.sample import SAMPLE
from tests.support.photos import FACE as PLACE
from tests.support.photos import opened, saved
from tests.support.profiles import converted

pillow_heif.register_heif_opener()

Make = Callable[[], bytes]
Show = Callable[[], Image.Image]

PHOTO: Final = opened(SAMPLE.read_bytes()).crop((60, 10, 380, 410))
# Where the face is in it: x, y, width, height.
FACE: Final = (PLACE[0] - 60, PLACE[1] - 10, *PLACE[2:])
GREY: Final = PHOTO.convert("L")
# Another picture, which must not be taken for the photo: it shows no face.
OTHER: Final = Image.linear_gradient("L").resize((160, 120)).convert("RGB")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        make: makes the file.
        shows: what a viewer shows, RGB.
        most: largest mean difference of the decoded picture from that, levels.
        reason: of the refusal; empty if the file is read.
        says: a word of the refusal's message.
        coarse: whether what is shown has lost so much that the mesh may be another.
    """

    make: Make
    shows: Show = lambda: PHOTO
    most: float = 4.0
    reason: str = ""
    says: str = ""
    coarse: bool = False


def file_of(format_: str, picture: Image.Image = PHOTO, **options: Any) -> Make:
    """What saves a picture in a format."""
    defaults = {
        "JPEG": {"quality": 92},
        "PNG": {"compress_level": 1},
        "WEBP": {"quality": 92, "method": 2},
        "HEIF": {"quality": 80},
        "AVIF": {"quality": 85, "speed": 9},
    }
    return lambda: saved(picture, format_, **{**defaults.get(format_, {}), **options})


def refused(make: Make, reason: str, says: str) -> Kind:
    """A kind that is refused."""
    return Kind(make, reason=reason, says=says)


def named(make: Make, says: str) -> Kind:
    """A kind that the refusal names."""
    return refused(make, "UNSUPPORTED_FORMAT", says)


def grey() -> Image.Image:
    """The photo without colours."""
    return GREY.convert("RGB")


def over_white(alpha: Image.Image) -> Show:
    """The photo with this transparency, over white."""

    def show() -> Image.Image:
        white = Image.new("RGB", PHOTO.size, (255, 255, 255))
        white.paste(PHOTO, mask=alpha)
        return white

    return show


def in_profile(format_: str, profile: bytes, **options: Any) -> Make:
    """The photo in the colours of a profile."""
    return lambda: file_of(format_, converted(PHOTO, profile), icc_profile=profile, **options)()


@cache
def quantized(colours: int) -> Image.Image:
    """The photo with a palette."""
    return PHOTO.quantize(colours)


def resized(width: int, height: int) -> Image.Image:
    """The photo at another size."""
    return PHOTO.resize((width, height), Image.Resampling.LANCZOS)


# Opaque over the head, half transparent in a corner.
ALPHA: Final = Image.new("L", PHOTO.size, 255)
ALPHA.paste(100, (0, 300, 320, 400))
ALPHA.paste(0, (0, 0, 60, 60))
