"""Scan-convert a closed mesh along the lines of a lattice, exactly, with NumPy.

``kernel/shape/crossings.c`` does the same and explains it; this is for ``isosurface``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, F64, I32

I64 = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]

# Steps of fixed-point coordinates in a crop pixel.
FIXED: Final = 1024
# Most candidates; a head has a million at FINE.
MOST_WORK: Final = 40_000_000
# Candidates that are tested at a time.
CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Lattice:
    """Nodes at (origin + (i, j, k) + 1/2) * step crop pixels.

    Attributes:
        step: crop pixels between nodes.
        origin: (3,) x, y, z.
        size: (3,) nodes along x, y, z; the outermost are outside of everything.
    """

    step: int
    origin: I64
    size: I64

    def places(self, axis: int) -> F64:
        """Return the coordinate of each node along an axis, crop pixels."""
        return np.asarray((self.origin[axis] + np.arange(self.size[axis]) + 0.5) * self.step)


@dataclass(frozen=True, slots=True)
class Hits:
    """Where the lines along an axis meet triangles; all arrays by hit.

    Attributes:
        node: (n, 3) lower end of the lattice's edge, x, y, z.
        at: (n,) place on that edge, 0 at the lower end, 1 at the upper.
        triangle: (n,) index.
        weights: (n, 2) barycentric, of the triangle's second and third corner.
        leaving: (n,) whether the line leaves the mesh there.
    """

    node: I64
    at: F64
    triangle: I64
    weights: F64
    leaving: Bits

    def inside(self, lattice: Lattice) -> Bits:
        """Return whether the mesh winds around each node, (nz, ny, nx), from hits along x."""
        turns = np.zeros(lattice.size[::-1], np.int32)
        x, y, z = self.node.T
        np.add.at(turns, (z, y, x + 1), np.where(self.leaving, -1, 1))
        return np.asarray(np.cumsum(turns, axis=2) > 0)


def scan_head(vertices: F32, triangles: I32, lattice: Lattice) -> list[Hits]:
    """Return the hits of a closed mesh along x, y and z.

    Raises:
        OverflowError: the triangles are too large for a head's.
    """
    zero = (lattice.origin + 0.5) * lattice.step
    fixed = np.floor((vertices - zero) * FIXED + 0.5).astype(np.int64)
    corners = fixed[triangles]
    work = 0
    found = []
    for axis in range(3):
        sides = corners[:, :, [(axis + 1) % 3, (axis + 2) % 3]]
        spacing = lattice.step * FIXED
        first = -(-sides.min(axis=1) // spacing)
        count = -(-sides.max(axis=1) // spacing) - first
        work += int(count.prod(axis=1).sum())
        if work > MOST_WORK:
            raise OverflowError("the triangles are too large for a head's")
        parts = [
            _hits(corners[of], of, line * spacing, axis, spacing)
            for of, line in _candidates(first, count)
        ]
        found.append(Hits(*(np.concatenate(c) for c in zip(*parts, strict=True))))
    return found


def _candidates(first: I64, count: I64) -> Iterator[tuple[I64, I64]]:
    """Yield triangles and the lines of their boxes, the numbers of both coordinates."""
    total = count.prod(axis=1)
    ends = np.cumsum(total)
    every = int(total.sum())
    for begin in range(0, max(every, 1), CHUNK):
        number = np.arange(begin, min(begin + CHUNK, every))
        of = np.searchsorted(ends, number, side="right")
        within = number - (ends - total)[of]
        columns = np.maximum(count[of, 0], 1)
        yield of, first[of] + np.stack([within % columns, within // columns], axis=1)


def _hits(
    corners: I64, of: I64, line: I64, axis: int, spacing: int
) -> tuple[I64, F64, I64, F64, Bits]:
    """Test lines against triangles; return the fields of :class:`Hits`.

    Args:
        corners: (n, 3, 3) of the triangles in fixed-point coordinates.
        of: (n,) their indices.
        line: (n, 2) coordinates of the lines.
        axis: of the lines.
        spacing: between nodes.
    """
    across = [(axis + 1) % 3, (axis + 2) % 3]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.empty((len(of), 3), np.int64)
    within = normal[:, axis] != 0
    for i in range(3):
        start = corners[:, (i + 1) % 3][:, across]
        along = corners[:, (i + 2) % 3][:, across] - start
        areas[:, i] = along[:, 0] * (line - start)[:, 1] - along[:, 1] * (line - start)[:, 0]
        moves = [-along[:, 1], along[:, 0]]
        if axis == 1:
            moves.reverse()
        within &= _first_sign(areas[:, i], *moves) == np.sign(normal[:, axis])
    corners, of, line, normal, areas = (a[within] for a in (corners, of, line, normal, areas))
    slope, start = normal[:, axis], corners[:, 0, axis]
    others = (normal[:, across] * (line - corners[:, 0][:, across])).sum(axis=1)
    at = (start - others / slope) / spacing
    nearest = np.floor(at + 0.5)
    there = slope * (nearest.astype(np.int64) * spacing - start) + others
    beyond = nearest + (_first_sign(there, *normal.T) != np.sign(slope))
    beyond = np.where(np.abs(at - nearest) > 1e-6, np.ceil(at), beyond).astype(np.int64)
    node = np.empty((len(of), 3), np.int64)
    node[:, axis] = beyond - 1
    node[:, across] = line // spacing
    return node, at - (beyond - 1), of, areas[:, 1:] / slope[:, None], slope > 0


def _first_sign(*values: I64) -> I64:
    """Return the sign of the first of the values that is not 0."""
    found = np.sign(values[0])
    for value in values[1:]:
        found = np.where(found != 0, found, np.sign(value))
    return np.asarray(found)
