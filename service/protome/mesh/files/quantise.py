"""Quantise the positions of a mesh without opening its surface.

Vertices that fall on the same point of the grid become one point. Triangles between them vanish, so
that a reader that merges equal positions finds a closed surface again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, F64, U32
from protome.mesh.colour.mesh import Mesh

from .codec import codec

# Bits of a coordinate; the fewest that keep the surface closed are used. 12 bits across a head are
# steps of 0.06 mm.
BITS: Final = (12, 13, 14, 15, 16)

Points = npt.NDArray[np.uint16]
Cells = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A mesh whose positions are on a grid.

    Attributes:
        mesh: without the triangles that have no area on the grid; its positions are as they were.
        points: (n, 3) uint16, the positions in steps of the grid, 0 to ``2 ** bits - 1``.
        low: (3,) position of the grid's origin.
        step: distance of its points.
        bits: bits of a coordinate.
    """

    mesh: Mesh
    points: Points
    low: F64
    step: float
    bits: int

    @property
    def positions(self) -> F32:
        """The positions on the grid, (n, 3)."""
        return np.asarray(self.points * self.step + self.low, np.float32)


def quantise(mesh: Mesh) -> Quantised:
    """Quantise a mesh with the fewest bits that keep its surface as closed as it is."""
    # NumPy is many times faster along columns that follow each other in memory than along rows.
    columns = np.ascontiguousarray(mesh.positions.T)
    low = columns.min(axis=1).astype(np.float64)
    extent = float(np.ptp(columns, axis=1).max())
    for bits in BITS:
        step = extent / (2**bits - 1)
        snapped, count = codec.snap(mesh.positions, low, step)
        points = np.frombuffer(snapped, np.uint16).reshape(-1, 3)
        gone = np.empty(0, np.intp)
        if count == mesh.surface_vertices:
            # Only those vertices coincide that a seam of the texture had split.
            break
        x, y, z = points.T.astype(np.int64)
        # One number for each point of the grid.
        gone, branches = _merged(x << 32 | y << 16 | z, mesh.triangles)
        if not branches:
            break
    triangles = np.delete(mesh.triangles, gone, axis=0) if len(gone) else mesh.triangles
    kept = replace(mesh, triangles=triangles, surface_vertices=count)
    return Quantised(kept, points, low, step, bits)


def _merged(cells: Cells, triangles: U32) -> tuple[npt.NDArray[np.intp], bool]:
    """Return the triangles that vanish, and whether the surface branches, where vertices merge.

    Args:
        cells: (n,) number of each vertex's grid point.
        triangles: (m, 3).
    """
    order = np.argsort(cells)
    again = np.flatnonzero(np.diff(cells.take(order)) == 0)
    crowded = np.zeros(len(cells), np.bool_)
    crowded[order[again]] = crowded[order[again + 1]] = True
    a, b, c = np.ascontiguousarray(triangles.T)
    near = np.flatnonzero(crowded.take(a) | crowded.take(b) | crowded.take(c))
    corners = cells[triangles[near]]
    gone = (corners == corners[:, [1, 2, 0]]).any(axis=1)
    return near[gone], _branches(corners[~gone])


def _branches(corners: Cells) -> bool:
    """Return whether more than two triangles meet at an edge.

    Args:
        corners: (m, 3) triangles as numbers of grid points.
    """
    small = np.unique(corners, return_inverse=True)[1].reshape(corners.shape)
    edges = np.sort((small << 32 | small[:, [1, 2, 0]]).ravel())
    return bool((np.diff(edges) == 0).any())
