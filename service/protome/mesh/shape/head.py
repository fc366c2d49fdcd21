"""Load the parts of the head model that do not depend on the person: ``head.npz`` of a release."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protome.geometry import F32, I32, U8


class Region(enum.IntEnum):
    """Parts of the head that its vertices belong to.

    ``BEHIND`` is skin beside and below the face.
    """

    SKIN = 0
    LIPS = 1
    EYE = 2
    INNER_MOUTH = 3
    NOSTRIL = 4
    EAR = 5
    SCALP = 6
    NECK = 7
    BEHIND = 8


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The topology of the head model and what is known of each of its n vertices.

    Attributes:
        triangles: (m, 3) int32, closed, counter-clockwise seen from outside.
        mirror: (n,) int32, the vertex that is the mirror image; in the middle the vertex itself.
        region: (n,) uint8, see :class:`Region`.
        uv: (k, 2) float32, positions in the texture atlas: (0, 0) top left, 1 across. The first n
            are those of the vertices; the others repeat vertices of the seam, at the back of the
            head, on its other side.
        uv_triangles: (m, 3) int32, the triangles in the atlas, corner by corner; none overlap.
        guard: (n,) float32, 1 on facial skin that hair never covers, 0 where it may, and between.
    """

    triangles: I32
    mirror: I32
    region: U8
    uv: F32
    uv_triangles: I32
    guard: F32


def load_head(path: Path) -> Head:
    """Load a head from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no head; the message says why.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in Head.__dataclass_fields__}
    except KeyError as error:
        raise ValueError(f"{path.name} has no {error.args[0]}") from error
    n, m, k = (len(parts[name]) for name in ("mirror", "triangles", "uv"))
    expected = {
        "triangles": (np.int32, (m, 3)),
        "mirror": (np.int32, (n,)),
        "region": (np.uint8, (n,)),
        "uv": (np.float32, (k, 2)),
        "uv_triangles": (np.int32, (m, 3)),
        "guard": (np.float32, (n,)),
    }
    for name, (dtype, shape) in expected.items():
        part = parts[name]
        if part.dtype != dtype or part.shape != shape:
            raise ValueError(f"{path.name}: {name} is {part.dtype} {part.shape}, not {shape}")
        parts[name] = np.ascontiguousarray(part)
        parts[name].flags.writeable = False
    limits = {"triangles": n, "mirror": n, "region": len(Region), "uv_triangles": k}
    for name, limit in limits.items():
        part = parts[name]
        if part.size and not 0 <= part.min() <= part.max() < limit:
            raise ValueError(f"{path.name}: {name} is out of range")
    for name in ("uv", "guard"):
        if not np.isfinite(parts[name]).all():
            raise ValueError(f"{path.name}: {name} is not finite")
    return Head(**parts)
