"""bytes → image: an untrusted picture file becomes RGB pixels.

The header is checked before anything is decoded; large JPEGs are decoded at a reduced scale
(DCT scaling) when the photo is much larger than the later stages need.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from PIL import ExifTags, ImageFile, UnidentifiedImageError
from PIL import Image as Pillow

from protome.config import Config
from protome.errors import BrokenImage, ImageTooLarge, InvalidRequest
from protome.geometry import U8

from .sanitize import MAX_SCANS, format_of, stripped, webp_size

FORMATS: Final = ("JPEG", "PNG", "WEBP")
MIN_SIDE: Final = 16
BACKDROP: Final = (255, 255, 255)

# Our own limit, checked from the header, takes the place of Pillow's warning.
Pillow.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright; each covers ``step`` x ``step`` photo pixels.
        width: of the photo after EXIF orientation, photo pixels.
        height: likewise.
        step: photo pixels per decoded pixel, a whole number.
        left: photo coordinate of the left edge of ``pixels``; below 0 where the last column of a
            mirrored picture is only partly filled.
        top: likewise for the upper edge.
    """

    pixels: U8
    width: int
    height: int
    step: int = 1
    left: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is taken.

    Attributes:
        max_bytes: largest file.
        max_pixels: largest width x height.
        max_unscaled_pixels: the same for PNG and WebP, which have to be decoded whole.
        max_scans: most scans of a JPEG, each of which goes over all pixels; fewer where there are
            many of those.
    """

    max_bytes: int
    max_pixels: int
    max_unscaled_pixels: int
    max_scans: int = MAX_SCANS

    @classmethod
    def of(cls, config: Config) -> ImageLimits:
        """Those that are set."""
        return cls(
            config.max_image_bytes,
            config.max_image_pixels,
            config.max_unscaled_pixels,
            config.max_scans,
        )

    def check_bytes(self, count: int) -> None:
        """Raises :class:`ImageTooLarge` for a file of ``count`` bytes over the limit."""
        if count > self.max_bytes:
            raise ImageTooLarge(
                f"image has {count} bytes, the limit is {self.max_bytes}",
                bytes=count,
                max_image_bytes=self.max_bytes,
            )


def decode(data: bytes, limits: ImageLimits, *, enough: int) -> Image:
    """Decode a JPEG, PNG or WebP file.

    Args:
        data: the encoded photo.
        limits: what is taken.
        enough: longest side in pixels that later stages need; a photo twice as large or more is
            reduced, a JPEG while it is decoded.

    Raises:
        InvalidRequest: no bytes.
        ImageTooLarge: over one of the limits.
        UnsupportedFormat: not one of the formats.
        BrokenImage: anything else that keeps the picture from being decoded.
    """
    if not data:
        raise InvalidRequest("image is empty", field="image")
    limits.check_bytes(len(data))
    kept = stripped(data, limits.max_scans, limits.max_pixels)
    if (claimed := webp_size(data)) is not None:
        _check_size("WEBP", claimed, limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photo = _open(kept)
        # In one piece: arithmetic and lossless decoding cannot wait for the next.
        photo.decodermaxblock = len(kept)
        with photo:
            _check_size(str(photo.format), photo.size, limits)
            try:
                return _load(photo, enough)
            except MemoryError:
                raise
            # Decoders raise whatever they like on hostile input.
            except Exception as error:
                raise BrokenImage(
                    f"the {photo.format} picture cannot be decoded: {error}", format=photo.format
                ) from None


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        return Pillow.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:
        # Pillow names our buffer's address where it knows no more.
        why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
        format_ = format_of(data)
        raise BrokenImage(
            f"the header of the {format_} picture cannot be read{why}", format=format_
        ) from None


def _check_size(format_: str, size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    name, limit = "max_image_pixels", limits.max_pixels
    if format_ in ("PNG", "WEBP") and limits.max_unscaled_pixels < limit:
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


def _load(photo: ImageFile.ImageFile, enough: int) -> Image:
    width, height = photo.size
    step = max(1, max(width, height) // enough)
    if step > 1:
        # A JPEG is decoded at 1/2, 1/4 or 1/8, never below what is asked for.
        photo.draft(None, (max(1, width // step), max(1, height // step)))
    # First: to look for EXIF in a PNG loads it too, and a second try passes over what is damaged.
    photo.load()
    orientation = 1
    # A damaged EXIF block is no reason to refuse the picture.
    with contextlib.suppress(Exception):
        orientation = int(photo.getexif().get(ExifTags.Base.Orientation, 1))
    drawn = round(width / photo.size[0])
    rest = max(1, step // drawn)
    pixels = _to_rgb(photo, rest)
    step = drawn * rest
    # The last column and row may cover less of the photo than the others.
    spare_x = pixels.shape[1] * step - width
    spare_y = pixels.shape[0] * step - height
    pixels = _upright(pixels, orientation)
    if orientation in (5, 6, 7, 8):
        width, height, spare_x, spare_y = height, width, spare_y, spare_x
    left = -spare_x if orientation in (2, 3, 6, 7) else 0
    top = -spare_y if orientation in (3, 4, 7, 8) else 0
    return Image(pixels, width, height, step, left, top)


def _to_rgb(photo: Pillow.Image, reduce: int) -> U8:
    """8-bit RGB of any Pillow mode, reduced by a whole factor; transparency over white.

    Reduced before anything is converted: conversions of a large picture would each take as much
    memory again.
    """
    if photo.mode.startswith("I"):
        wide = np.asarray(photo)
        if reduce > 1:
            size = -(-wide.shape[1] // reduce), -(-wide.shape[0] // reduce)
            wide = np.asarray(cv2.resize(wide, size, interpolation=cv2.INTER_AREA))
        grey = np.clip(wide >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    clear = "A" in photo.mode or "a" in photo.mode or "transparency" in photo.info
    if photo.mode not in ("L", "RGB", "RGBA", "CMYK"):
        photo = photo.convert("RGBA" if clear else "RGB")
    if reduce > 1:
        info, photo = photo.info, photo.reduce(reduce)
        photo.info = info
    if clear:
        rgba = photo.convert("RGBA")
        flat = Pillow.new("RGB", photo.size, BACKDROP)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return np.asarray(flat)
    return np.asarray(photo if photo.mode == "RGB" else photo.convert("RGB"))


def _upright(pixels: U8, orientation: int) -> U8:
    """Undo the EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
