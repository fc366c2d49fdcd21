"""Decode an untrusted picture file to RGB pixels.

The header is checked before anything is decoded. A JPEG much larger than the later stages need is
decoded at a reduced scale (DCT scaling).
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

# The size is checked against the configured limits instead of Pillow's warning.
Pillow.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright; each covers ``step`` x ``step`` photo pixels.
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
        max_unscaled_pixels: the same for PNG and WebP, which have to be decoded at full size.
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


def decode(data: bytes, limits: ImageLimits, *, enough: int) -> Image:
    """Decode a JPEG, PNG or WebP file.

    Args:
        data: the encoded photo.
        limits: limits of the file and its size.
        enough: longest side in pixels that later stages need; a photo of twice that or more is
            reduced by an integer factor, a JPEG while it is decoded.

    Raises:
        InvalidRequest: the file is empty or a side has under 16 pixels.
        ImageTooLarge: the file exceeds one of the limits.
        UnsupportedFormat: the file has another format.
        BrokenImage: the picture cannot be decoded for another reason.
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
        # In one piece, because arithmetic and lossless decoding cannot be suspended.
        photo.decodermaxblock = len(kept)
        with photo:
            _check_size(str(photo.format), photo.size, limits)
            try:
                return _load(photo, enough)
            except MemoryError:
                raise
            # Decoders raise exceptions of any type on hostile input.
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
        # The message of UnidentifiedImageError only holds the address of a buffer.
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
        # Decodes a JPEG at 1/2, 1/4 or 1/8, never below the given size.
        photo.draft(None, (max(1, width // step), max(1, height // step)))
    # Before getexif(), which loads a PNG too: a second load would ignore damage.
    photo.load()
    orientation = 1
    # A picture with a damaged EXIF block is still accepted.
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
    """Convert any Pillow mode to 8-bit RGB, reduced by an integer factor, over white.

    The picture is reduced before it is converted, because each conversion of a large picture takes
    as much memory again.
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
