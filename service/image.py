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

import numpy as np
from PIL import ExifTags, ImageFile, UnidentifiedImageError
from PIL import Image as Pillow

from .errors import BrokenImage, ImageTooLarge, InvalidRequest, UnsupportedFormat
from .grid import U8

# JPEG covers MPO, what many phones write: a JPEG with more pictures behind the first.
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
        pixels: (height, width, 3) uint8 RGB, upright.
        width: of the photo after EXIF orientation, photo pixels; ``pixels`` may be smaller.
        height: likewise.
    """

    pixels: U8
    width: int
    height: int

    @property
    def scale_x(self) -> float:
        """Decoded pixels per photo pixel along x."""
        return float(self.pixels.shape[1] / self.width)

    @property
    def scale_y(self) -> float:
        """Decoded pixels per photo pixel along y."""
        return float(self.pixels.shape[0] / self.height)


def decode(data: bytes, *, max_bytes: int, max_pixels: int, enough: int) -> Image:
    """Decode a JPEG, PNG or WebP file.

    Args:
        data: the encoded photo.
        max_bytes: largest file taken.
        max_pixels: largest width x height taken.
        enough: longest side in pixels that later stages need; a JPEG twice as large or more is
            decoded at 1/2, 1/4 or 1/8.

    Raises:
        InvalidRequest: no bytes.
        ImageTooLarge: over one of the limits.
        UnsupportedFormat: not one of the formats.
        BrokenImage: anything else that keeps the picture from being decoded.
    """
    if not data:
        raise InvalidRequest("image is empty", field="image")
    if len(data) > max_bytes:
        raise ImageTooLarge(
            f"image has {len(data)} bytes, the limit is {max_bytes}",
            bytes=len(data),
            max_image_bytes=max_bytes,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photo = _open(data)
        with photo:
            _check_size(photo, max_pixels)
            try:
                return _load(photo, enough)
            except MemoryError:
                raise
            # Decoders raise whatever they like on hostile input.
            except Exception as error:
                raise BrokenImage(
                    f"the {photo.format} picture cannot be decoded: {error}", format=photo.format
                ) from None


def _open(data: bytes) -> Pillow.Image:
    try:
        return Pillow.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedFormat(
            "the bytes are not a JPEG, PNG or WebP picture", formats="JPEG,PNG,WebP"
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        raise BrokenImage(f"the picture's header cannot be read: {error}") from None


def _check_size(photo: Pillow.Image, max_pixels: int) -> None:
    width, height = photo.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"image has {width} x {height} pixels, the limit is {max_pixels} in all",
            width=width,
            height=height,
            max_image_pixels=max_pixels,
        )
    if min(width, height) < MIN_SIDE:
        raise InvalidRequest(
            f"image has {width} x {height} pixels, each side must have {MIN_SIDE}",
            field="image",
            min_side=MIN_SIDE,
        )


def _load(photo: Pillow.Image, enough: int) -> Image:
    width, height = photo.size
    longest = max(width, height)
    if longest >= 2 * enough:
        photo.draft(None, (width * enough // longest, height * enough // longest))
    orientation = 1
    # A damaged EXIF block is no reason to refuse the picture.
    with contextlib.suppress(Exception):
        orientation = int(photo.getexif().get(ExifTags.Base.Orientation, 1))
    photo.load()
    pixels = _upright(_to_rgb(photo), orientation)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Image(pixels, width, height)


def _to_rgb(photo: Pillow.Image) -> U8:
    """8-bit RGB of any Pillow mode; transparency over white."""
    if photo.mode.startswith("I"):
        wide = np.asarray(photo).astype(np.int32)
        grey = np.clip(wide >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if photo.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in photo.info:
        rgba = photo.convert("RGBA")
        flat = Pillow.new("RGB", photo.size, BACKDROP)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return np.asarray(flat)
    return np.asarray(photo.convert("RGB"))


def _upright(pixels: U8, orientation: int) -> U8:
    """Undo the EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
