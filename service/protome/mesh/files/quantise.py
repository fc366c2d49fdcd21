"""Quantise the positions of a mesh without opening its surface.

Vertices that fall on the same point of the grid become one point. Triangles between them vanish, so
that a reader that merges equal positions finds a closed surface again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F64
from protome.mesh.colour.mesh import Mesh

# Bits of a coordinate; the fewest that keep the surface closed are used. 12 bits across a head are
# steps of 0.06 mm.
BITS: Final = (12, 13, 14, 15, 16)

# Weights that make one number of a grid point.
_CELL: Final = 1 << np.array([40, 20, 0])

Points = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quantised:
    """A mesh whose positions are on a grid.

    Attributes:
        mesh: without the triangles that have no area on the grid; its positions are on the grid.
        points: (n, 3) int64, the positions in steps of the grid, 0 to ``2 ** bits - 1``.
        low: (3,) position of the grid's origin.
        step: distance of its points.
        bits: bits of a coordinate.
    """

    mesh: Mesh
    points: Points
    low: F64
    step: float
    bits: int


def quantise(mesh: Mesh) -> Quantised:
    """Quantise a mesh with the fewest bits that keep its surface as closed as it is."""
    low = mesh.positions.min(axis=0).astype(np.float64)
    extent = float(np.ptp(mesh.positions, axis=0).max())
    a, b, c = np.ascontiguousarray(mesh.triangles.T)
    for bits in BITS:
        step = extent / (2**bits - 1)
        points = np.round((mesh.positions - low) / step).astype(np.int64)
        cells = points @ _CELL
        order = np.argsort(cells)
        again = np.flatnonzero(np.diff(cells[order]) == 0)
        crowded = np.zeros(len(cells), np.bool_)
        crowded[order[again]] = crowded[order[again + 1]] = True
        near = np.flatnonzero(crowded.take(a) | crowded.take(b) | crowded.take(c))
        corners = cells[mesh.triangles[near]]
        gone = (corners == corners[:, [1, 2, 0]]).any(axis=1)
        if bits == BITS[-1] or not _branches(corners[~gone]):
            break
    kept = replace(
        mesh,
        positions=(points * step + low).astype(np.float32),
        triangles=np.delete(mesh.triangles, near[gone], axis=0),
        surface_vertices=len(cells) - len(again),
    )
    return Quantised(kept, points, low, step, bits)


def _branches(corners: Points) -> bool:
    """Return whether more than two triangles meet at an edge.

    Args:
        corners: (m, 3) triangles as numbers of grid points.
    """
    small = np.unique(corners, return_inverse=True)[1].reshape(corners.shape)
    edges = np.sort((small << 32 | small[:, [1, 2, 0]]).ravel())
    return bool((np.diff(edges) == 0).any())
