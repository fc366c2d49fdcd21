"""Compose the surface of a posed head and its hair.

The head is a closed mesh and the hair a coarse grid of occupancy. Their union is extracted by
marching cubes (Lorensen and Cline, SIGGRAPH 1987) on a lattice around both, compiled
(``kernel/shape/compose.c``); without a compiler NumPy and PyMCubes do the same more slowly. Each
vertex lies on the head's mesh or on the hair's smooth surface, so the lattice leaves no steps;
afterwards the vertices are spaced evenly along the surface, so that there are no slivers.

The surface is closed and one piece: smaller pieces and inner cavities are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Final

import numpy as np

from protome.errors import NoSurface
from protome.geometry import F32, HAIR_CELL, I32, U8, U32, Level

from . import isosurface
from .hair import ISO
from .head import Head, Region
from .relax import faces_of
from .scan import I64

backend: ModuleType
try:
    from protome.mesh import _kernel as backend
except ImportError:
    backend = isosurface

BACKEND: Final[str] = backend.BACKEND
COMPILED: Final = backend is not isosurface
# Fewest triangles of a mesh; a surface with fewer is not a head.
MIN_TRIANGLES: Final = 200
# Share of the scalp in hair below which there is none: of 132 photos, heads whose hair is closely
# cut or tied back have up to 0.21, others 0.28 and more.
LEAST_SCALP: Final = 0.25
# Rounds of smoothing along the surface: at FINE one less is even enough.
ROUNDS: Final = {Level.PREVIEW: 3, Level.STANDARD: 3, Level.FINE: 2}


@dataclass(frozen=True, slots=True)
class Surface:
    """A triangle mesh in crop coordinates.

    Attributes:
        vertices: (n, 3) float32, crop pixels x right, y down, z away from the camera.
        normals: (n, 3) float32, unit, outwards, same axes.
        triangles: (m, 3) uint32, counter-clockwise seen from outside.
        source: (n,) int32, the triangle of the head that the vertex lies on; -1 on hair.
        weights: (n, 2) float32, barycentric weights of that triangle's second and third corner; 0
            on hair.
        head: the head that it was composed of.
        posed: (N, 3) float32, that head's vertices, same axes.
    """

    vertices: F32
    normals: F32
    triangles: U32
    source: I32
    weights: F32
    head: Head
    posed: F32


@lru_cache(maxsize=4)
def _faces(head: Head) -> I32:
    """Return the head's triangles and their neighbours, (m, 6); the same for every pose."""
    return faces_of(head.triangles)


@lru_cache(maxsize=4)
def _scalp(head: Head) -> I64:
    """Return the vertices of the head's scalp."""
    return np.flatnonzero(head.region == Region.SCALP)


def supported(head: Head, vertices: F32, hair: U8) -> U8:
    """Return the hair, or none of it where it covers less than ``LEAST_SCALP`` of the scalp.

    Hair grows on the scalp, and headgear sits on it: beside a bald head it is the background.

    Args:
        head: the head model.
        vertices: see :func:`compose`.
        hair: likewise.
    """
    cells = np.divide(vertices.take(_scalp(head), axis=0).T, HAIR_CELL, order="C")
    size = hair.shape[::-1]
    inside = ((cells >= 0) & (cells < np.array(size, np.float32)[:, None])).all(axis=0)
    x, y, z = cells.compress(inside, axis=1).astype(np.intp)
    found = hair.ravel().take((z * size[1] + y) * size[0] + x)
    if not len(found) or np.count_nonzero(found > ISO) >= LEAST_SCALP * len(found):
        return hair
    return np.zeros_like(hair)


def compose(head: Head, vertices: F32, hair: U8, level: Level) -> Surface:
    """Compose the surface of a head and its hair.

    Args:
        head: the head's topology.
        vertices: (n, 3) float32, the posed head in crop coordinates.
        hair: (depth, height, width) uint8, 255 inside, surface at 127.5, in cells of 4 px.
        level: the level of detail.

    Raises:
        NoSurface: the surface has fewer than ``MIN_TRIANGLES`` triangles, or the vertices are not
            those of a head: not finite, or spread over more than 480 px.
    """
    try:
        parts = backend.compose(
            np.ascontiguousarray(vertices),
            _faces(head),
            head.guard,
            supported(head, vertices, hair),
            level.step,
            ROUNDS[level],
        )
    except OverflowError as error:
        raise NoSurface("the network's head is not finite or too large") from error
    points, normals, numbers, source, weights = parts
    triangles = np.frombuffer(numbers, np.uint32).reshape(-1, 3)
    if len(triangles) < MIN_TRIANGLES:
        raise NoSurface("the network found no head in the crop")
    return Surface(
        np.frombuffer(points, np.float32).reshape(-1, 3),
        np.frombuffer(normals, np.float32).reshape(-1, 3),
        triangles,
        np.frombuffer(source, np.int32),
        np.frombuffer(weights, np.float32).reshape(-1, 2),
        head,
        vertices,
    )
