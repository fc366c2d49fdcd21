"""Define the coordinate frames, the levels of detail and the conversions between them.

Photo coordinates: pixels of the upright photo, x to the right, y down, the outer corner of the top
left pixel at (0, 0).

Crop coordinates, used by every stage after detection: pixels of the 208 px crop, x to the right, y
down, the outer corner of the top left pixel at (0, 0); z is the depth away from the camera, 0 at
the front of the crop volume, in the same unit. A head may reach beyond the crop.

Mesh coordinates: metres, +X to the right in the picture, +Y up, +Z towards the camera; the origin
is the centre of the crop volume, which is ``CROP_SIDE`` wide and high and ``CROP_DEPTH`` deep.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CROP_SIDE: Final = 208
"""Side of the crop the network sees, pixels."""

CROP_DEPTH: Final = 168
"""Depth of the crop volume, crop pixels."""

HAIR_CELL: Final = 4
"""Side of a cell of the hair grid, crop pixels."""

HAIR_SHAPE: Final = (CROP_DEPTH // HAIR_CELL, CROP_SIDE // HAIR_CELL, CROP_SIDE // HAIR_CELL)
"""Cells of the hair grid, (depth, height, width). Cell (k, j, i) has its centre at x = 4 (i + 1/2),
y = 4 (j + 1/2), z = 4 (k + 1/2)."""

PIXELS_PER_CM: Final = 6.2
"""Nominal scale of a crop: the crop rule shows a mean head at this many pixels per centimetre."""

METRES_PER_PIXEL: Final = 0.01 / PIXELS_PER_CM
"""Nominal size of a crop pixel, metres."""

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the crop that the photo covers.

    Attributes:
        left, top, right, bottom: crop coordinates, of the crop turned back about its centre so that
            its sides are parallel to the photo's.
        roll: of the crop, see :class:`Placement`.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = CROP_SIDE
    bottom: float = CROP_SIDE
    roll: float = 0.0

    def sides(self) -> F32:
        """Return the lines of the border, (4 or 8, 3) float32.

        The distance of crop coordinates (x, y) inside of one is its dot product with (x, y, 1).
        """
        whole = [(1, 0, 0), (0, 1, 0), (-1, 0, CROP_SIDE), (0, -1, CROP_SIDE)]
        own = [(1, 0, -self.left), (0, 1, -self.top), (-1, 0, self.right), (0, -1, self.bottom)]
        if not self.roll:
            return np.array(own, np.float32)
        # Lines that lie infinitely far away have no direction.
        own = [(a, b, c) if math.isfinite(c) else (0, 0, CROP_SIDE) for a, b, c in own]
        half = CROP_SIDE / 2
        (c, minus_s), (s, _) = turned(1.0, 0.0, self.roll), turned(0.0, 1.0, self.roll)
        back = np.array([[c, s, half - half * (c + s)], [minus_s, c, half - half * (c + minus_s)]])
        turn = np.concatenate([back, [[0, 0, 1]]])
        return np.concatenate([whole, np.array(own) @ turn]).astype(np.float32)

    def inside(self, points: F32) -> F32:
        """Return the distance of points, (n, 2 or more) crop coordinates, to the border.

        It is negative outside.
        """
        rows = self.sides()
        distances = [x * points[:, 0] + y * points[:, 1] + away for x, y, away in rows]
        return np.asarray(np.minimum.reduce(distances), np.float32)


class Level(enum.IntEnum):
    """Levels of detail; the values are those of protome.v1.DetailLevel."""

    PREVIEW = 1
    STANDARD = 2
    FINE = 3

    @property
    def step(self) -> int:
        """Distance of the nodes at which the surface is sampled: 4, 2 or 1 crop pixels."""
        return 8 >> self


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in photo coordinates: top left corner, width and height, pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class CropRule:
    """Maps a detector's box to a crop; ships with the model and is measured for its detector.

    The crop is a square whose side is ``side`` x sqrt(width x height) of the box. The centre of the
    box, moved down by ``drop`` x height, is mapped to crop coordinates (CROP_SIDE / 2, ``anchor``).
    """

    side: float
    drop: float
    anchor: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a crop lies in the photo.

    Attributes:
        left, top: photo coordinates of the top left corner before the crop is turned.
        pixel: photo pixels in a crop pixel.
        roll: degrees that the crop is turned about its centre, counter-clockwise in the picture:
            a head of this roll is upright in it.
    """

    left: float
    top: float
    pixel: float
    roll: float = 0.0

    @property
    def corner(self) -> tuple[float, float]:
        """Photo coordinates of the turned crop's top left corner."""
        if not self.roll:
            return self.left, self.top
        half = self.pixel * CROP_SIDE / 2
        x, y = turned(-half, -half, self.roll)
        return self.left + half + x, self.top + half + y

    def mesh_to_photo(self) -> F64:
        """Return the (4, 4) matrix from mesh coordinates (metres) to photo coordinates (pixels)."""
        s = self.pixel / METRES_PER_PIXEL
        matrix = np.diag([s, -s, s, 1.0])
        matrix[0, 3] = self.left + self.pixel * CROP_SIDE / 2
        matrix[1, 3] = self.top + self.pixel * CROP_SIDE / 2
        return matrix

    def frame(self, width: int, height: int) -> Frame:
        """Return the part of the crop that a photo of this size, in pixels, covers."""
        low, high = (0.0, float(CROP_SIDE)) if not self.roll else (-math.inf, math.inf)
        return Frame(
            max(low, -self.left / self.pixel),
            max(low, -self.top / self.pixel),
            min(high, (width - self.left) / self.pixel),
            min(high, (height - self.top) / self.pixel),
            self.roll,
        )

    def crop_to_photo(self) -> F64:
        """Return the (4, 4) matrix from crop to photo coordinates, both in pixels."""
        return self.mesh_to_photo() @ crop_to_mesh(self.roll)


def turned(x: Any, y: Any, roll: float) -> tuple[Any, Any]:
    """Turn offsets counter-clockwise in the picture by ``roll`` degrees; quarter turns are exact.

    Args:
        x: to the right, a number or an array.
        y: down, likewise.
        roll: degrees.
    """
    c, s = _cos_sin(roll)
    return c * x + s * y, c * y - s * x


def crop_to_mesh(roll: float = 0.0) -> F64:
    """Return the (4, 4) matrix from crop coordinates (pixels) to mesh coordinates (metres).

    The mesh's axes are the photo's: ``roll`` is that of the crop, see :class:`Placement`.
    """
    m = METRES_PER_PIXEL
    matrix = np.diag([m, -m, -m, 1.0])
    matrix[:3, 3] = -m * CROP_SIDE / 2, m * CROP_SIDE / 2, m * CROP_DEPTH / 2
    return matrix if not roll else about_z(roll) @ matrix


def about_z(roll: float) -> F64:
    """Return the (4, 4) rotation about the mesh's +Z axis, counter-clockwise in the picture."""
    c, s = _cos_sin(roll)
    matrix = np.eye(4)
    matrix[:2, :2] = (c, -s), (s, c)
    return matrix


def _cos_sin(roll: float) -> tuple[float, float]:
    if roll % 90 == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(roll // 90) % 4]
    return math.cos(math.radians(roll)), math.sin(math.radians(roll))


def place(box: Box, rule: CropRule, roll: float = 0.0) -> Placement:
    """Place the crop of a face by the model's rule.

    Args:
        box: tight, in the photo turned about the box's centre so that the head is upright.
        rule: of the model.
        roll: degrees that the head is turned in the photo, counter-clockwise.
    """
    side = rule.side * math.sqrt(box.width * box.height)
    pixel = side / CROP_SIDE
    x = box.x + box.width / 2
    y = box.y + box.height / 2 + rule.drop * box.height
    left, top = x - pixel * CROP_SIDE / 2, y - pixel * rule.anchor
    if roll:
        # How far the crop's centre lies below the box's, along the head.
        below = top + pixel * CROP_SIDE / 2 - (box.y + box.height / 2)
        across, down = turned(0.0, below, roll)
        left, top = left + across, top + down - below
    return Placement(left, top, pixel, roll)


def angles(pose: F32, roll: float = 0.0) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees, as protome.v1.Pose defines them.

    Args:
        pose: (3, 4) matrix from the head's frame (x to its left, y up, z forward) to crop
            coordinates, with any uniform scale.
        roll: of the crop, see :class:`Placement`; the angles are about the photo's axes.
    """
    # Plain numbers, because this runs in the event loop and arrays would take ten times as long.
    (x0, x1, x2), (y0, y1, y2), (z0, z1, z2) = pose[:, :3].tolist()
    if roll:
        columns = (x0, y0), (x1, y1), (x2, y2)
        (x0, y0), (x1, y1), (x2, y2) = (turned(x, y, roll) for x, y in columns)
    aside, up, ahead = _unit(x0, -y0, -z0), _unit(x1, -y1, -z1), _unit(x2, -y2, -z2)
    yaw = math.atan2(ahead[0], ahead[2])
    pitch = math.asin(min(max(ahead[1], -1.0), 1.0))
    turn = math.atan2(aside[1], up[1])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(turn)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length
