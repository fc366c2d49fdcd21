"""Set up the picture decoders of Pillow, and open files with them."""

from __future__ import annotations

import io
from typing import Final

from PIL import AvifImagePlugin, ImageFile, UnidentifiedImageError, features
from PIL import Image as Pillow

from protome.errors import BrokenImage, UnsupportedFormat

try:
    import pillow_heif
except ImportError:
    pillow_heif = None  # type: ignore[assignment]

# Names of the formats in Pillow.
_PLUGINS: Final = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WEBP", "AVIF": "AVIF", "HEIC": "HEIF"}

# The size is checked against the configured limits instead of Pillow's warning.
Pillow.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
# A worker has one core.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
if pillow_heif is not None:
    pillow_heif.register_heif_opener(
        decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
    )


def missing_decoders() -> dict[str, str]:
    """Return the formats that cannot be read here, and the package that each of them lacks."""
    missing = {}
    if not features.check("avif"):
        missing["AVIF"] = "Pillow with AVIF support"
    if pillow_heif is None:
        missing["HEIC"] = "pillow-heif"
    return missing


def open_picture(data: bytes, format_: str) -> ImageFile.ImageFile:
    """Open a picture without decoding its pixels.

    Args:
        data: the file.
        format_: from :func:`protome.image.container.format_of`.

    Raises:
        UnsupportedFormat: the decoder is not installed.
        BrokenImage: the header cannot be read.
    """
    package = missing_decoders().get(format_)
    if package is not None:
        raise UnsupportedFormat(
            f"the file is a {format_} picture, and this server has no decoder for it: "
            f"install {package} on the server, or send JPEG, PNG or WebP",
            format=format_,
            install=package,
        )
    try:
        photo = Pillow.open(io.BytesIO(data), formats=(_PLUGINS[format_],))
    except MemoryError:
        raise
    except Exception as error:
        # Some messages are about objects of the decoder, that of UnidentifiedImageError about its
        # buffer.
        unclear = isinstance(error, UnidentifiedImageError) or "object" in str(error)
        why = "" if unclear else f": {error}"
        raise BrokenImage(
            f"the header of the {format_} picture cannot be read{why}", format=format_
        ) from None
    # In one piece, because arithmetic and lossless decoding cannot be suspended.
    photo.decodermaxblock = len(data)
    return photo
