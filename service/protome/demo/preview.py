"""Draw a mesh from three sides, alone or beside its photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import CROP_SIDE, U8, Placement
from protome.image.crop import cut
from protome.image.decode import Image, ImageLimits, decode

from .mesh_file import read_mesh
from .render import Model3D, render

SIDE: Final = 384
# From the front, at an angle, and from the side, degrees.
YAWS: Final = (0.0, 40.0, 80.0)
# Side of the square around a face, in widths or heights of its box.
AROUND: Final = 1.8
# Longest side that is decoded, pixels: the face of a large photo is still sharp.
ENOUGH: Final = 2048
BOX_COLOUR: Final = (230, 90, 40)


def sides(model: Model3D) -> U8:
    """Draw a mesh as clay from three sides, and below it with its colours if it has any.

    Returns:
        (rows * 384, 3 * 384, 3) uint8 RGB; 1 or 2 rows.
    """
    rows = (False, True) if model.coloured else (False,)
    return np.concatenate(
        [
            np.concatenate([render(model, yaw=yaw, side=SIDE, coloured=row) for yaw in YAWS], 1)
            for row in rows
        ]
    )


def preview(photo: bytes, box: Sequence[float], mesh: Path) -> U8:
    """Draw a photo, its face and, to the right of them, the mesh of the face.

    Args:
        photo: a picture file.
        box: (x, y, width, height) of the face in the photo, pixels.
        mesh: the mesh file.

    Returns:
        (rows * 384, 4 * 384, 3) uint8 RGB. One row shows the photo and the mesh as clay; a
        second one, for meshes with colours, the face and the coloured mesh.

    Raises:
        ValueError: the photo or the mesh cannot be read.
    """
    try:
        picture = decode(photo, ImageLimits.of(Config()), enough=ENOUGH)
    except ProtomeError as error:
        raise ValueError(f"the photo cannot be drawn: {error.message}") from None
    right = sides(read_mesh(mesh))
    left = [_whole(picture, box), _face(picture, box)][: len(right) // SIDE]
    return np.concatenate([np.concatenate(left), right], axis=1)


def write_png(file: Path, picture: U8) -> None:
    """Write an RGB picture to a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    file.write_bytes(data.tobytes())


def _whole(photo: Image, box: Sequence[float]) -> U8:
    """Fit a photo into a square and draw the box of the face."""
    size = max(photo.width, photo.height)
    left, top = (photo.width - size) / 2, (photo.height - size) / 2
    drawn = cut(photo, Placement(left, top, size / CROP_SIDE), SIDE)
    x, y, width, height = box
    corners = np.array([(x - left, y - top), (x + width - left, y + height - top)])
    first, last = np.round(corners * SIDE / size).astype(int).tolist()
    cv2.rectangle(drawn, first, last, BOX_COLOUR, 2)
    return drawn


def _face(photo: Image, box: Sequence[float]) -> U8:
    """Cut a square around a face out of a photo."""
    x, y, width, height = box
    size = AROUND * max(width, height)
    left, top = x + (width - size) / 2, y + (height - size) / 2
    return cut(photo, Placement(left, top, size / CROP_SIDE), SIDE)
