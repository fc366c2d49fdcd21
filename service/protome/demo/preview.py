"""Draw a mesh from three sides, alone or beside its photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from protome.geometry import U8

from .mesh_file import read_mesh
from .render import BACKGROUND, Model3D, render

SIDE: Final = 384
# From the front, at an angle, and from the side, degrees.
YAWS: Final = (0.0, 40.0, 80.0)
# Side of the square around a face, in widths or heights of its box.
AROUND: Final = 1.8
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
        photo: a JPEG, PNG or WebP file.
        box: (x, y, width, height) of the face in the photo, pixels.
        mesh: the mesh file.

    Returns:
        (rows * 384, 4 * 384, 3) uint8 RGB. One row shows the photo and the mesh as clay; a
        second one, for meshes with colours, the face and the coloured mesh.

    Raises:
        ValueError: the photo or the mesh cannot be read.
    """
    decoded = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the photo cannot be decoded")
    picture = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    right = sides(read_mesh(mesh))
    left = [_whole(picture, box), _face(picture, box)][: len(right) // SIDE]
    return np.concatenate([np.concatenate(left), right], axis=1)


def write_png(file: Path, picture: U8) -> None:
    """Write an RGB picture to a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    file.write_bytes(data.tobytes())


def _whole(picture: U8, box: Sequence[float]) -> U8:
    """Fit a photo into a square, the box of the face drawn into it."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    return _warp(picture, scale, width / 2, height / 2, box)


def _face(picture: U8, box: Sequence[float]) -> U8:
    """Cut a square around a face out of a photo."""
    x, y, width, height = box
    scale = SIDE / (AROUND * max(width, height))
    return _warp(picture, scale, x + width / 2, y + height / 2)


def _warp(picture: U8, scale: float, x: float, y: float, box: Sequence[float] | None = None) -> U8:
    """Scale a photo and put a point of it into the middle of a square."""
    if scale < 1:
        # Averages pixels, which warpAffine would leave out.
        height, width = picture.shape[:2]
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)
        x, y, inner = x * scale, y * scale, 1.0
    else:
        inner = scale
    matrix = np.array([[inner, 0, SIDE / 2 - inner * x], [0, inner, SIDE / 2 - inner * y]])
    drawn = cv2.warpAffine(
        picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=(BACKGROUND,) * 3
    )
    if box is not None:
        corner = np.array([box[0], box[1]]) * scale + (SIDE / 2 - inner * x, SIDE / 2 - inner * y)
        size = np.array([box[2], box[3]]) * scale
        first, last = np.round(corner).astype(int), np.round(corner + size).astype(int)
        cv2.rectangle(drawn, tuple(first.tolist()), tuple(last.tolist()), BOX_COLOUR, 2)
    return np.asarray(drawn, np.uint8)
