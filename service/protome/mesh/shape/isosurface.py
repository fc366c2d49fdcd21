"""Compose the surface of a posed head and its hair with NumPy, SciPy and PyMCubes.

Used where the compiled ``_kernel`` could not be built, and as its reference in tests. SciPy and
PyMCubes are imported by the functions that use them: they take memory and time of every process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protome.geometry import F32, F64, HAIR_CELL, I32, U8, U32

from .hair import HAIR_CELLS, HairField
from .manifold import largest_piece, unit, vertex_normals
from .relax import smooth, walk
from .scan import I64, Bits, Hits, Lattice, scan_head

BACKEND: Final = "PyMCubes"
# Longest side of the box around head and hair, and furthest coordinate, crop pixels.
LONGEST_BOX: Final = 480
FURTHEST: Final = 1e6
# Least distance of a vertex from the ends of its edge, as a share of the edge.
CLEAR: Final = 0.01
MOST_ROUNDS: Final = 8

Parts = tuple[F32, F32, U32, I32, F32]


def compose(vertices: F32, faces: I32, guard: F32, hair: U8, step: int, rounds: int, /) -> Parts:
    """Compose the surface of a posed head and its hair.

    Args:
        vertices: (n, 3) float32, of the posed head in crop pixels.
        faces: (m, 6) int32, triangles, closed, counter-clockwise seen from outside, and the
            triangle on the other side of the edge from each corner to the next; -1: none.
        guard: (n,) float32, 1 where hair must not cover the skin, 0 where it may.
        hair: (depth, height, width) uint8, 255 inside, cells of 4 px.
        step: distance of the lattice's nodes, 1, 2 or 4 px.
        rounds: of smoothing along the surface, 0 to 8, so that the vertices are evenly spaced.

    Returns:
        Vertices and unit normals (x, y, z) as float32, triangles as uint32, of each vertex the
        head's triangle that it lies on as int32 (-1: hair), and the weights of that triangle's
        second and third corner as float32. All are empty where there is nothing.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a shape, the step or the rounds are wrong, or a face has a corner that is no
            vertex or a neighbour that is no face.
        OverflowError: a vertex is not finite, or head and hair are over ``LONGEST_BOX`` px long.
    """
    import mcubes

    _check(vertices, faces, guard, hair, step, rounds)
    triangles = faces[:, :3]
    if not (np.abs(vertices) <= FURTHEST).all():
        raise OverflowError("a vertex is not finite or too far away")
    field = HairField.of(hair, vertices, guard)
    lattice = _lattice(vertices, field, step)
    if lattice is None:
        return _empty()
    hits = scan_head(vertices, triangles, lattice)
    in_head = hits[0].inside(lattice)
    in_hair = np.zeros_like(in_head) if field is None else field.on(lattice) > 0
    middles, found = mcubes.marching_cubes((in_head | in_hair).astype(np.float32), 0.5)
    if not len(found):
        return _empty()
    # PyMCubes orients triangles for (z, y, x), a left-handed order of these axes.
    middles, found = largest_piece(middles[:, ::-1], found.astype(np.uint32)[:, ::-1])

    # Each vertex is in the middle of an edge: move it to where the edge leaves head or hair.
    node = np.floor(middles).astype(np.int64)
    axis = (middles != node).argmax(axis=1)
    upper = node + np.eye(3, dtype=np.int64)[axis]
    up = (in_head | in_hair)[tuple(node.T[::-1])]
    inside = tuple(np.where(up[:, None], node, upper).T[::-1])
    at, source, weights = _leave_head(node, axis, up, in_head[inside], hits, lattice)
    lower, higher = ((lattice.origin + n + 0.5) * step for n in (node, upper))
    if field is not None:
        of_hair = np.clip(field.zero(lower, higher), CLEAR, 1 - CLEAR)
        farther = np.where(up, of_hair > at, of_hair < at) & in_hair[inside]
        at[farther], source[farther], weights[farther] = of_hair[farther], -1, 0
    points = lower + at[:, None] * (higher - lower)

    normals = _normals(points, source, weights, _PosedHead.of(vertices, triangles), field)
    parts = _parts(points, normals, found, source, weights)
    return relax(parts, vertices, faces, guard, hair, step, rounds) if rounds else parts


def relax(
    parts: Parts, vertices: F32, faces: I32, guard: F32, hair: U8, step: int, rounds: int, /
) -> Parts:
    """Space the vertices of a composed surface evenly; arguments as for :func:`compose`."""
    head, field = _PosedHead.of(vertices, faces[:, :3]), HairField.of(hair, vertices, guard)
    points, weights = parts[0].astype(np.float64), parts[4].astype(np.float64)
    source = parts[3].astype(np.int64)
    spots = smooth(points, parts[1].astype(np.float64), parts[2], rounds)
    moved, close = points.copy(), np.zeros(len(points), np.bool_)
    skin = np.flatnonzero(source >= 0)
    if len(skin):
        triangle, shares, close[skin] = walk(spots[skin], source[skin], head.vertices, faces)
        moved[skin] = head.at(triangle, shares)
    tress = np.flatnonzero(source < 0)
    if field is not None and len(tress):
        moved[tress], close[tress] = field.project(spots[tress]), True
    close &= np.linalg.norm(moved - points, axis=1) < step
    points[close] = moved[close]
    if len(skin):
        source[skin] = np.where(close[skin], triangle, source[skin])
        weights[skin] = np.where(close[skin, None], shares, weights[skin])
    return _parts(points, _normals(points, source, weights, head, field), parts[2], source, weights)


@dataclass(frozen=True, slots=True)
class _PosedHead:
    vertices: F64
    triangles: I32
    normals: F64

    @classmethod
    def of(cls, vertices: F32, triangles: I32) -> _PosedHead:
        points = vertices.astype(np.float64)
        return cls(points, triangles, vertex_normals(points, triangles))

    def at(self, source: I64, weights: F64) -> F64:
        """Return places on triangles."""
        return _between(self.vertices, self.triangles[source], weights)

    def normals_at(self, source: I64, weights: F64) -> F64:
        """Return interpolated normals."""
        return unit(_between(self.normals, self.triangles[source], weights))


def _normals(
    points: F64, source: I64, weights: F64, head: _PosedHead, field: HairField | None
) -> F64:
    normals = np.zeros_like(points)
    skin = source >= 0
    normals[skin] = head.normals_at(source[skin], weights[skin])
    if field is not None:
        normals[~skin] = unit(-field.slope(points[~skin]))
    return normals


def _between(values: F64, corners: I32, weights: F64) -> F64:
    first = 1 - weights.sum(axis=1, keepdims=True)
    shares = np.concatenate([first, weights], axis=1)
    return np.asarray((shares[:, :, None] * values[corners]).sum(axis=1))


def _check(vertices: F32, faces: I32, guard: F32, hair: U8, step: int, rounds: int) -> None:
    expected: list[tuple[str, Any, type, tuple[int | None, ...]]] = [
        ("vertices", vertices, np.float32, (None, 3)),
        ("faces", faces, np.int32, (None, 6)),
        ("guard", guard, np.float32, (None,)),
        ("hair", hair, np.uint8, (None, None, None)),
    ]
    for name, array, dtype, shape in expected:
        if array.dtype != dtype:
            raise TypeError(f"{name} must be {np.dtype(dtype)}")
        if array.ndim != len(shape) or shape[-1] not in {None, array.shape[-1]}:
            raise ValueError(f"{name} has the wrong shape")
    if step not in {1, 2, 4}:
        raise ValueError("step must be 1, 2 or 4")
    if not 0 <= rounds <= MOST_ROUNDS:
        raise ValueError(f"rounds must be 0 to {MOST_ROUNDS}")
    if not HAIR_CELLS[0] <= min(hair.shape) <= max(hair.shape) <= HAIR_CELLS[1]:
        raise ValueError("hair has the wrong shape")
    if guard.shape[0] != vertices.shape[0]:
        raise ValueError("guard has the wrong shape")
    corners, over = faces[:, :3], faces[:, 3:]
    if len(faces) and not 0 <= corners.min() <= corners.max() < len(vertices):
        raise ValueError("faces have corners that are no vertices")
    if len(faces) and not -1 <= over.min() <= over.max() < len(faces):
        raise ValueError("faces have neighbours that are no faces")


def _parts(points: F64, normals: F64, triangles: Any, source: Any, weights: F64) -> Parts:
    return (
        np.ascontiguousarray(points, np.float32),
        np.ascontiguousarray(normals, np.float32),
        np.ascontiguousarray(triangles, np.uint32).reshape(-1, 3),
        np.ascontiguousarray(source, np.int32),
        np.ascontiguousarray(weights, np.float32),
    )


def _empty() -> Parts:
    return _parts(np.zeros((0, 3)), np.zeros((0, 3)), [], [], np.zeros((0, 2)))


def _lattice(vertices: F32, field: HairField | None, step: int) -> Lattice | None:
    """Return the lattice around head and hair, None if there is neither."""
    boxes = [] if field is None else [field.box()]
    if len(vertices):
        boxes.append((vertices.min(axis=0), vertices.max(axis=0)))
    if not boxes:
        return None
    low = np.min([box[0] for box in boxes], axis=0).astype(np.float64)
    high = np.max([box[1] for box in boxes], axis=0).astype(np.float64)
    if (high - low > LONGEST_BOX).any():
        raise OverflowError("head and hair are too large")
    nodes = HAIR_CELL // step
    origin = (np.floor(low / step - 0.5).astype(np.int64) - 1) // nodes * nodes
    last = np.ceil(high / step - 0.5).astype(np.int64) + 1
    return Lattice(step, origin, last - origin + 1)


def _leave_head(
    node: I64, axis: I64, up: Bits, in_head: Bits, hits: list[Hits], lattice: Lattice
) -> tuple[F64, I64, F64]:
    """Return where edges leave the head: place on the edge, triangle and weights.

    Edges whose inside end is not in the head get that end, no triangle (-1) and no weights.
    """
    at = np.where(up, 0.0, 1.0)
    source = np.full(len(node), -1)
    weights = np.zeros((len(node), 2))
    strides = np.array([1, lattice.size[0], lattice.size[0] * lattice.size[1]])
    for a in range(3):
        for way in (True, False):
            mine = np.flatnonzero((axis == a) & (up == way) & in_head)
            fit = np.flatnonzero(hits[a].leaving == way)
            # The last of several hits is the farthest from the inside end.
            where = hits[a].at[fit]
            fit = fit[np.argsort(where if way else -where, kind="stable")]
            key = hits[a].node[fit] @ strides
            order = np.argsort(key, kind="stable")
            last = np.searchsorted(key[order], node[mine] @ strides, side="right") - 1
            hit = fit[order[last]]
            at[mine] = np.clip(hits[a].at[hit], CLEAR, 1 - CLEAR)
            source[mine], weights[mine] = hits[a].triangle[hit], hits[a].weights[hit]
    return at, source, weights
