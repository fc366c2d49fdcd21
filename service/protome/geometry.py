"""The voxel grid: levels of detail and where a voxel lies in the crop.

Crop coordinates, shared by every stage: pixels of the 192 px crop, x to the right, y down, the
outer corner of the top left pixel at (0, 0); z is depth away from the camera, 0 at the front of
the first slice, in the same unit. Voxel (k, j, i) of a level with ``step`` s px across and ``dz``
px deep has its centre at x = s (i + 1/2), y = s (j + 1/2), z = dz (k + 1/2).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

CROP_SIDE: Final = 192
"""Side of the crop the network sees, pixels."""

CROP_DEPTH: Final = 100
"""Depth of the reconstructed range, crop pixels."""

METRES_PER_PIXEL: Final = 0.01 / 6.2
"""Nominal size of a crop pixel: the crop rule puts a mean head at 6.2 px per centimetre."""

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U32 = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the crop that the photo covers, crop coordinates; outside of it is nothing."""

    left: float = 0.0
    top: float = 0.0
    right: float = CROP_SIDE
    bottom: float = CROP_SIDE


class Level(enum.IntEnum):
    """Levels of detail; the values are those of protome.v1.DetailLevel."""

    PREVIEW = 1
    STANDARD = 2
    FINE = 3

    def __reduce_ex__(self, protocol: object) -> tuple[type[Level], tuple[int]]:
        # Python before 3.11.4 pickles members through getattr, which replies may not name.
        return Level, (self.value,)


@dataclass(frozen=True, slots=True)
class Grid:
    """Size of a volume: ``shape`` is (depth, height, width) in voxels."""

    shape: tuple[int, int, int]

    @property
    def voxel(self) -> tuple[float, float, float]:
        """Extent of a voxel along z, y and x, crop pixels."""
        depth, height, width = self.shape
        return CROP_DEPTH / depth, CROP_SIDE / height, CROP_SIDE / width


GRIDS: Final = {
    Level.PREVIEW: Grid((50, 48, 48)),
    Level.STANDARD: Grid((100, 96, 96)),
    Level.FINE: Grid((200, 192, 192)),
}


def resample(volume: U8, level: Level) -> U8:
    """Bring a volume to the grid of ``level``.

    Args:
        volume: occupancy, (depth, height, width) of any level, 0 to 255.
        level: the level wanted.

    Returns:
        Occupancy on that grid: pooled by the mean, or interpolated linearly between voxel
        centres. The volume itself where it has that size already.
    """
    target = GRIDS[level].shape
    if volume.shape == target:
        return volume
    if volume.shape[0] > target[0]:
        fz, fy, fx = (a // b for a, b in zip(volume.shape, target, strict=True))
        blocks = volume.reshape(target[0], fz, target[1], fy, target[2], fx)
        return np.asarray(np.round(blocks.mean(axis=(1, 3, 5))), np.uint8)
    fine = volume.astype(np.float32)
    while fine.shape != target:
        for axis in range(3):
            fine = double(fine, axis)
    return np.round(fine).astype(np.uint8)


def double(values: F32, axis: int) -> F32:
    """Twice the samples along ``axis``, linear between centres, the border repeated."""
    v = np.moveaxis(values, axis, 0)
    before = np.concatenate([v[:1], v[:-1]])
    after = np.concatenate([v[1:], v[-1:]])
    out = np.empty((2 * len(v), *v.shape[1:]), np.float32)
    out[0::2] = 0.75 * v + 0.25 * before
    out[1::2] = 0.75 * v + 0.25 * after
    return np.moveaxis(out, 0, axis)
