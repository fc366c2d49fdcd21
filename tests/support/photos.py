"""Photos made from the sample: other encodings, orientations, pictures with several faces."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageEnhance

# Where the face is in the sample photo: x, y, width, height in pixels, measured by hand.
FACE: Final = (179.0, 62.0, 88.0, 110.0)
# What a viewer does to show a picture with an EXIF orientation upright (EXIF 2.32, 0x0112), undone.
TURNED: Final = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def opened(photo: bytes) -> Image.Image:
    """The pixels of a photo, RGB."""
    return Image.open(io.BytesIO(photo)).convert("RGB")


def saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    # Pillow leaves an encoder's settings on the picture, and the next encoder fails with them.
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    picture.copy().save(file, format_, **options)
    return file.getvalue()


def turned(photo: bytes, orientation: int) -> bytes:
    """The photo as a camera would store it that was held differently: a PNG with EXIF."""
    transpose = TURNED[orientation]
    picture = opened(photo)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = picture if transpose is None else picture.transpose(transpose)
    return saved(stored, "PNG", exif=exif, compress_level=1)


def group(photo: bytes, sides: tuple[int, ...]) -> bytes:
    """The photo several times in one picture, side by side, at these sides in pixels."""
    picture = opened(photo)
    canvas = Image.new("RGB", (sum(sides), max(sides)), (90, 110, 130))
    left = 0
    for side in sides:
        canvas.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (left, 0))
        left += side
    return saved(canvas, "JPEG", quality=92)


def covered(photo: bytes, what: str) -> bytes:
    """The sample with a thing before the face: "mask", "sunglasses" or "book"."""
    picture = opened(photo)
    pen = ImageDraw.Draw(picture)
    left, top, width, height = FACE

    def at(*places: tuple[float, float]) -> list[tuple[float, float]]:
        """Pixels of places in the face's box, which is 0 to 1 in both directions."""
        return [(left + x * width, top + y * height) for x, y in places]

    if what == "mask":
        outline = at((0, 0.5), (0.5, 0.42), (1, 0.5), (0.88, 0.9), (0.5, 1.08), (0.12, 0.9))
        pen.polygon(outline, fill=(150, 190, 215))
        for y in (0.62, 0.74, 0.86):
            pen.line(at((0.06, y), (0.94, y)), fill=(120, 160, 190), width=2)
    elif what == "sunglasses":
        for x in (0.05, 0.53):
            pen.rounded_rectangle(at((x, 0.24), (x + 0.42, 0.48)), 10, fill=(20, 20, 24))
        pen.line(at((0.4, 0.3), (0.6, 0.3)), fill=(20, 20, 24), width=4)
    else:
        pen.rectangle(at((-0.1, 0.45), (1.1, 1.15)), fill=(120, 40, 30))
    return saved(picture, "PNG", compress_level=1)


def scenery(side: int = 256) -> bytes:
    """A picture that shows no face: a smooth gradient."""
    ramp = np.linspace(40, 200, side)
    grey = (ramp[:, None] + ramp[None, :]) / 2
    return saved(Image.fromarray(grey.astype(np.uint8)).convert("RGB"), "PNG")


def endless_scans() -> bytes:
    """A progressive JPEG that repeats its last scan: few bytes, hours of work."""
    large = saved(Image.new("L", (4000, 4000), 128), "JPEG", quality=30, progressive=True)
    scan = large[large.rindex(b"\xff\xda") : -2]
    return large[:-2] + scan * min(2000, (15 << 20) // len(scan)) + b"\xff\xd9"


def png(width: int, height: int, body: bytes, *, colour: int = 2, depth: int = 8) -> bytes:
    """A PNG of a compressed body."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", body), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def collage(photo: bytes, widths: tuple[int, ...], columns: int = 7) -> bytes:
    """Heads in rows, as wide as given in pixels, every other one mirrored, in other lights."""
    x, y, width, height = FACE
    cell = round(2.2 * max(widths))
    rows = -(-len(widths) // columns)
    canvas = Image.new("RGB", (columns * cell, rows * cell), (90, 110, 130))
    reach = 0.6 * height
    head = opened(photo).crop(
        (round(x - reach), round(y - reach), round(x + width + reach), round(y + height + reach))
    )
    for index, wanted in enumerate(widths):
        scale = wanted / width
        size = round(scale * head.width), round(scale * head.height)
        one = head.resize(size, Image.Resampling.LANCZOS)
        if index % 2:
            one = one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        one = ImageEnhance.Brightness(one).enhance(0.75 + 0.05 * (index % 11))
        left, top = index % columns * cell, index // columns * cell
        canvas.paste(one, (left + (cell - size[0]) // 2, top + (cell - size[1]) // 2))
    return saved(canvas, "JPEG", quality=92)
