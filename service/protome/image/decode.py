"""Decode an untrusted picture file to RGB pixels.

The header is checked before anything is decoded. A JPEG much larger than the later stages need is
decoded at a reduced scale (DCT scaling).
"""

from __future__ import annotations

import contextlib
import math
import warnings
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from PIL import ExifTags, ImageFile
from PIL import Image as Pillow

from protome.config import Config
from protome.errors import BrokenImage, ImageTooLarge, InvalidRequest
from protome.geometry import U8, Box

from .colour_profile import embedded_profile, to_srgb
from .container import format_of
from .decoders import open_picture
from .sanitize import MAX_SCANS, stripped, webp_size

MIN_SIDE: Final = 16
BACKDROP: Final = (255, 255, 255)
# Rows of a picture that are copied at a time.
STRIP: Final = 512
# Formats whose decoders take 5 to 16 bytes a pixel. A JPEG is reduced while it is decoded; HEIC
# takes 8 bytes.
UNSCALED: Final = ("PNG", "WEBP", "AVIF")
# EXIF orientations that change columns for rows, and then turn over columns or rows.
TRANSPOSED: Final = (5, 6, 7, 8)
FLIPPED_X: Final = (2, 3, 6, 7)
FLIPPED_Y: Final = (3, 4, 7, 8)


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright, of the photo or a part of it; each covers ``step`` x
            ``step`` photo pixels.
        width: width of the photo after EXIF orientation, photo pixels.
        height: its height.
        step: photo pixels per decoded pixel, an integer.
        left: photo coordinate of the left edge of ``pixels``; below 0 where the last column of a
            mirrored picture is only partly filled.
        top: photo coordinate of the upper edge, likewise.
    """

    pixels: U8
    width: int
    height: int
    step: int = 1
    left: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of picture files.

    Attributes:
        max_bytes: largest file, bytes.
        max_pixels: largest width x height.
        max_unscaled_pixels: the same for the formats of ``UNSCALED``.
        max_scans: most scans of a JPEG, each of which processes all pixels; fewer for the largest
            pictures, see :data:`protome.image.sanitize.FULL_SIZE`.
    """

    max_bytes: int
    max_pixels: int
    max_unscaled_pixels: int
    max_scans: int = MAX_SCANS

    @classmethod
    def of(cls, config: Config) -> ImageLimits:
        """Take the limits of a configuration."""
        return cls(
            config.max_image_bytes,
            config.max_image_pixels,
            config.max_unscaled_pixels,
            config.max_scans,
        )

    def check_bytes(self, count: int) -> None:
        """Check the size of a file.

        Raises:
            ImageTooLarge: it has more bytes than the limit.
        """
        if count > self.max_bytes:
            raise ImageTooLarge(
                f"image has {count} bytes, the limit is {self.max_bytes}",
                bytes=count,
                max_image_bytes=self.max_bytes,
            )


def decode(data: bytes, limits: ImageLimits, *, enough: int, part: Box | None = None) -> Image:
    """Decode a JPEG, PNG, WebP, HEIC or AVIF file.

    Args:
        data: the encoded photo.
        limits: limits of the file and its size.
        enough: longest side in pixels that later stages need; a photo of twice that or more is
            reduced by an integer factor, a JPEG while it is decoded.
        part: the part of the photo that is wanted; others may be left out. None: all of it.

    Raises:
        InvalidRequest: the file is empty or a side has under 16 pixels.
        ImageTooLarge: the file exceeds one of the limits.
        UnsupportedFormat: the file has another format, or its decoder is not installed.
        BrokenImage: the picture cannot be decoded for another reason.
    """
    if not data:
        raise InvalidRequest("image is empty", field="image")
    limits.check_bytes(len(data))
    format_ = format_of(data)
    kept = stripped(data, limits.max_scans, limits.max_pixels)
    if (claimed := webp_size(data)) is not None:
        _check_size(format_, claimed, limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_picture(kept, format_) as photo:
            _check_size(format_, photo.size, limits)
            try:
                return _load(photo, enough, embedded_profile(data), part)
            except MemoryError:
                raise
            # Decoders raise exceptions of any type on hostile input.
            except Exception as error:
                raise BrokenImage(
                    f"the {format_} picture cannot be decoded: {error}", format=format_
                ) from None


def _check_size(format_: str, size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    name, limit = "max_image_pixels", limits.max_pixels
    if format_ in UNSCALED and limits.max_unscaled_pixels < limit:
        name, limit = "max_unscaled_pixels", limits.max_unscaled_pixels
    if width * height > limit:
        raise ImageTooLarge(
            f"the {format_} has {width} x {height} pixels, the limit is {limit} in all",
            width=width,
            height=height,
            **{name: limit},
        )
    if min(width, height) < MIN_SIDE:
        raise InvalidRequest(
            f"image has {width} x {height} pixels, each side must have {MIN_SIDE}",
            field="image",
            min_side=MIN_SIDE,
        )


def _load(photo: ImageFile.ImageFile, enough: int, profile: bytes, part: Box | None) -> Image:
    width, height = photo.size
    step = max(1, max(width, height) // enough)
    if step > 1 and photo.format == "JPEG":
        # Decodes a JPEG at 1/2, 1/4 or 1/8, never below the given size.
        photo.draft(None, (max(1, width // step), max(1, height // step)))
    # Before getexif(), which loads a PNG too: a second load would ignore damage.
    photo.load()
    if photo.format != "JPEG" and photo.size != (width, height):
        raise ValueError("the picture has another size than its header says")
    # Pillow would take a turn from it that viewers ignore.
    photo.info.pop("xmp", None)
    orientation = 1
    # A picture with a damaged EXIF block is still accepted.
    with contextlib.suppress(Exception):
        orientation = int(photo.getexif().get(ExifTags.Base.Orientation, 1))
    # By the longer side: a few pixels are rounded up a lot.
    drawn = round(max(width, height) / max(photo.size))
    rest = max(1, step // drawn)
    step = drawn * rest
    columns, rows = (-(-side // rest) for side in photo.size)
    # The last column and row may cover less of the photo than the others.
    spare_x, spare_y = columns * step - width, rows * step - height
    if orientation in TRANSPOSED:
        width, height, columns, rows = height, width, rows, columns
        spare_x, spare_y = spare_y, spare_x
    left = -spare_x if orientation in FLIPPED_X else 0
    top = -spare_y if orientation in FLIPPED_Y else 0
    shown: Pillow.Image = photo
    if part is not None and rest == 1:
        x0, x1 = _span(part.x - left, part.width, step, columns)
        y0, y1 = _span(part.y - top, part.height, step, rows)
        shown = photo.crop(_as_stored((x0, y0, x1, y1), (columns, rows), orientation))
        left, top = left + x0 * step, top + y0 * step
    pixels = _to_rgb(shown, rest, profile or photo.info.get("icc_profile") or b"")
    return Image(_upright(pixels, orientation), width, height, step, left, top)


def _span(start: float, length: float, step: int, limit: int) -> tuple[int, int]:
    """Return the decoded pixels, of ``limit``, that a length of the photo touches."""
    return max(0, math.floor(start / step)), min(limit, math.ceil((start + length) / step))


def _as_stored(
    box: tuple[int, int, int, int], size: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Return where a box of the upright picture of this size lies before :func:`_upright`."""
    x0, y0, x1, y1 = box
    if orientation in FLIPPED_Y:
        y0, y1 = size[1] - y1, size[1] - y0
    if orientation in FLIPPED_X:
        x0, x1 = size[0] - x1, size[0] - x0
    return (y0, x0, y1, x1) if orientation in TRANSPOSED else (x0, y0, x1, y1)


def _to_rgb(photo: Pillow.Image, reduce: int, profile: bytes) -> U8:
    """Convert any Pillow mode to 8-bit sRGB, reduced by an integer factor, over white.

    The picture is reduced before it is converted, because each conversion of a large picture takes
    as much memory again.
    """
    if photo.mode.startswith("I"):
        wide = np.asarray(photo)
        if reduce > 1:
            size = -(-wide.shape[1] // reduce), -(-wide.shape[0] // reduce)
            wide = np.asarray(cv2.resize(wide, size, interpolation=cv2.INTER_AREA))
        grey = Pillow.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
        return np.asarray(to_srgb(grey, profile).convert("RGB"))
    clear = "A" in photo.mode or "a" in photo.mode or "transparency" in photo.info
    if photo.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        photo = photo.convert("RGBA" if clear else "RGB")
    if reduce > 1:
        info, photo = photo.info, photo.reduce(reduce)
        photo.info = info
    if not clear:
        photo = to_srgb(photo, profile)
        # convert() would copy a picture that is RGB.
        return _pixels(photo if photo.mode == "RGB" else photo.convert("RGB"))
    rgba = photo.convert("RGBA")
    flat = Pillow.new("RGB", photo.size, BACKDROP)
    colours = photo.convert("L" if photo.mode in ("L", "LA") else "RGB")
    flat.paste(to_srgb(colours, profile).convert("RGB"), mask=rgba.getchannel("A"))
    return np.asarray(flat)


def _pixels(photo: Pillow.Image) -> U8:
    """Copy the pixels of an RGB picture.

    A large one is copied in strips: as a whole Pillow takes twice the memory and the time.
    """
    width, height = photo.size
    if height <= STRIP:
        return np.asarray(photo)
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        end = min(top + STRIP, height)
        pixels[top:end] = np.asarray(photo.crop((0, top, width, end)))
    return pixels


def _upright(pixels: U8, orientation: int) -> U8:
    """Undo the EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation in TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in FLIPPED_X:
        pixels = pixels[:, ::-1]
    if orientation in FLIPPED_Y:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
