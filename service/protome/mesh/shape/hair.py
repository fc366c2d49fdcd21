"""Sample hair and headgear, a coarse grid of occupancy, as a smooth field.

``kernel/shape/hair.c`` does the same; this is for ``isosurface``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.geometry import F32, F64, HAIR_CELL, U8

from .scan import Lattice

ISO: Final = 127.5
# Fewest and most cells along an axis.
HAIR_CELLS: Final = (4, 62)
# Distance from guarded skin up to which its whole guard applies, and from which on none does,
# in cells.
NEAR_SKIN: Final = 2.0
FAR_FROM_SKIN: Final = 3.0
# How steeply occupancy is limited towards the sides of the grid.
STEEP: Final = 4.0


@dataclass(frozen=True, slots=True)
class HairField:
    """The quadratic B-spline whose control points are the cells.

    Attributes:
        values: (depth, height, width) float32, positive inside; -ISO outside of the grid.
    """

    values: F32

    @classmethod
    def of(cls, hair: U8, vertices: F32, guard: F32) -> HairField | None:
        """Make the field: occupancy without guarded skin and rounded off at the grid's sides.

        Args:
            hair: (depth, height, width) uint8.
            vertices: (n, 3) of the posed head, crop pixels.
            guard: (n,) 0 to 1.

        Returns:
            None if there is no hair.
        """
        limit: F32 = np.full((1, 1, 1), ISO * STEEP, np.float32)
        for axis, cells in enumerate(hair.shape):
            place = (np.arange(cells, dtype=np.float32) + 0.5 - cells / 2) / (cells / 2 - 1)
            bulge = place * place * (3 * place * place + 1) / 4
            others = [a for a in range(3) if a != axis]
            limit = np.asarray(limit - ISO * STEEP * np.expand_dims(bulge, others), np.float32)
        kept = hair * _kept(hair.shape, vertices, guard)
        values = np.minimum(kept - ISO, limit).astype(np.float32)
        return cls(values) if (values > 0).any() else None

    def box(self) -> tuple[F64, F64]:
        """Return the corners, (x, y, z) crop pixels, of the cells that hair may reach."""
        found = np.argwhere(self.values > 0)[:, ::-1]
        return (found.min(axis=0) - 1.0) * HAIR_CELL, (found.max(axis=0) + 2.0) * HAIR_CELL

    def on(self, lattice: Lattice) -> F64:
        """Return the field at the lattice's nodes, (nz, ny, nx)."""
        weights = []
        for axis, cells in enumerate(self.values.shape[::-1]):
            away = np.abs(lattice.places(axis)[:, None] / HAIR_CELL - (np.arange(cells) + 0.5))
            outer = np.maximum(1.5 - away, 0) ** 2 / 2
            weights.append(np.where(away < 0.5, 0.75 - away**2, outer))
        x, y, z = weights
        above = self.values.astype(np.float64) + ISO
        return np.asarray(np.einsum("zk,yj,xi,kji->zyx", z, y, x, above, optimize=True) - ISO)

    def at(self, points: F64) -> F64:
        """Return the field at points, (n, 3) crop pixels."""
        from scipy import ndimage

        places = (points[:, ::-1] / HAIR_CELL - 0.5).T
        values = self.values.astype(np.float64)
        sampled = ndimage.map_coordinates(
            values, places, order=2, prefilter=False, mode="grid-constant", cval=-ISO
        )
        return np.asarray(sampled)

    def zero(self, first: F64, second: F64) -> F64:
        """Return the share of the way between points at which the field is 0, interpolated."""
        a, b = self.at(first), self.at(second)
        return np.asarray(np.where(a == b, 0.5, a / np.where(a == b, 1, a - b)))

    def slope(self, points: F64) -> F64:
        """Return the field's slope at points, (n, 3) per crop pixel."""
        # Exact but for points next to the middle between two cells: the field is quadratic.
        steps = 0.01 * HAIR_CELL * np.eye(3)
        rise = np.stack([self.at(points + s) - self.at(points - s) for s in steps], axis=1)
        return np.asarray(rise / (0.02 * HAIR_CELL))

    def project(self, points: F64) -> F64:
        """Return points moved towards the field's zero, by one step of Newton's method."""
        slope = self.slope(points)
        square = np.maximum((slope * slope).sum(axis=1, keepdims=True), 1e-30)
        return np.asarray(points - self.at(points)[:, None] * slope / square)


def _kept(shape: tuple[int, ...], vertices: F32, guard: F32) -> F32:
    """Return the share of each cell's occupancy that the guarded skin leaves."""
    kept = np.ones(shape, np.float32)
    places = vertices[:, ::-1] / HAIR_CELL
    within = ((places >= 0) & (places < shape)).all(axis=1)
    cell = np.ravel_multi_index(tuple(places[within].astype(np.int64).T), shape)
    _, number = np.unique(cell, return_inverse=True)
    count = np.bincount(number)
    centres = [np.bincount(number, places[within, a]) / count - 0.5 for a in range(3)]
    guards = np.bincount(number, np.clip(guard[within], 0, 1)) / count
    for centre, share in zip(
        np.stack(centres, axis=1)[guards > 0], guards[guards > 0], strict=True
    ):
        low = np.maximum(np.ceil(centre - FAR_FROM_SKIN), 0).astype(int)
        high = np.minimum(np.floor(centre + FAR_FROM_SKIN) + 1, shape).astype(int)
        around = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[around]
        square = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        near = (FAR_FROM_SKIN**2 - square) / (FAR_FROM_SKIN**2 - NEAR_SKIN**2)
        kept[around] = np.minimum(kept[around], 1 - share * np.clip(near, 0, 1))
    return kept
