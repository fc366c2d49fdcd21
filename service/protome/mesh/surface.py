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
from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, U8, U32

from . import isosurface

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


def extract(volume: U8) -> Surface:
    """Extract the head's surface from its occupancy.

    Args:
        volume: (depth, height, width) uint8, 255 inside, surface at 127.5, spanning the whole
            crop volume whatever its resolution.

    Raises:
        NoSurface: the surface has fewer than ``MIN_TRIANGLES`` triangles.
    """
    extent = (CROP_DEPTH, CROP_SIDE, CROP_SIDE)
    dz, dy, dx = (e / n for e, n in zip(extent, volume.shape, strict=True))
    vertices, normals, numbers = backend.extract(np.ascontiguousarray(volume), (dz, dy, dx), True)
    triangles = np.frombuffer(numbers, np.uint32).reshape(-1, 3)
    if len(triangles) < MIN_TRIANGLES:
        raise NoSurface("the network found no head in the crop")
    return Surface(
        np.frombuffer(vertices, np.float32).reshape(-1, 3),
        np.frombuffer(normals, np.float32).reshape(-1, 3),
        triangles,
    )
