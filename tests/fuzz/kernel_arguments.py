"""Arguments for the functions of the C kernel: usual, odd and malformed ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from protome.model.card import SHIPPED

Array = np.ndarray[Any, np.dtype[Any]]
Rng = np.random.Generator
Arguments = tuple[Any, ...]

# Values at and beyond the limits of the kernel, and those that are no numbers.
ABSURD: Final = np.array(
    [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-40, 481, 1e6, 1 << 20, (1 << 20) + 1, 4, 4.001],
    np.float32,
)
FOUR: Final = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
WRONG: Final[tuple[Any, ...]] = (
    None,
    7,
    "array",
    b"",
    b"12345678",
    [],
    (1.0,),
    object(),
    np.float32(1),
    1 << 70,
)


def _numbers(rng: Rng, shape: tuple[int, ...], scale: float) -> Array:
    """Float32 of one kind: spread, on a grid, all alike, or with absurd ones among them."""
    kind = rng.integers(6)
    if kind == 0:
        values = rng.integers(0, 8, shape) * (scale / 8)
    elif kind == 1:
        values = np.full(shape, rng.uniform(0, scale))
    elif kind == 2:
        values = rng.uniform(0, scale, shape) + rng.choice([-10, 1, 100, 4e5]) * scale
    else:
        values = rng.uniform(-0.1 * scale, scale, shape)
    values = values.astype(np.float32)
    if kind == 3 and values.size:
        spots = rng.integers(0, values.size, rng.integers(1, 4))
        values.flat[spots] = rng.choice(ABSURD, len(spots))
    return values


def _corners(rng: Rng, count: int, most: int, kind: type = np.int32) -> Array:
    """Triangles of up to ``most`` times three vertex numbers, rarely one that there is not."""
    triangles: Array = rng.integers(0, max(count, 1), (rng.integers(most + 1), 3)).astype(kind)
    if triangles.size and (not count or rng.random() < 0.05):
        triangles.flat[rng.integers(triangles.size)] = rng.choice([count, 1 << 30, (1 << 31) - 1])
    return triangles


def _hair(rng: Rng) -> Array:
    most = 63 if rng.random() < 0.02 else 14
    shape = tuple(rng.integers(3 if rng.random() < 0.05 else 4, most, 3).tolist())
    kind = rng.integers(5)
    if kind == 0:
        return np.zeros(shape, np.uint8)
    if kind == 1:
        return np.full(shape, rng.integers(120, 256), np.uint8)
    if kind == 2:
        return rng.integers(127, 129, shape).astype(np.uint8)
    if kind == 3:
        return np.where(rng.random(shape) < rng.random() ** 3, 255, 0).astype(np.uint8)
    return rng.integers(0, 256, shape).astype(np.uint8)


@functools.cache
def _head_triangles() -> Array:
    """Those of the shipped head."""
    with np.load(SHIPPED / "head.npz") as head:
        return np.asarray(head["triangles"], np.int32)


def _tangle(rng: Rng) -> tuple[Array, Array]:
    """The head's triangles over vertices in a ball, or all in one point."""
    triangles = _head_triangles()
    angles = rng.normal(size=(int(triangles.max()) + 1, 3)) * rng.choice([0.0, 1e-3, 1.0])
    return (60 + rng.choice([1, 30]) * np.sin(angles)).astype(np.float32), triangles


def _compose(rng: Rng) -> Arguments:
    hair, step = _hair(rng), int(rng.choice([1, 2, 4]))
    scale = float(rng.choice([4, 30, 60 * step]))
    if rng.random() < 0.003:
        vertices, triangles = _tangle(rng)
    elif rng.random() < 0.6:
        solids = int(rng.integers(6))
        vertices = _numbers(rng, (4 * solids, 3), scale)
        triangles = np.concatenate([FOUR[:0], *(FOUR + 4 * s for s in range(solids))])
    else:
        vertices = _numbers(rng, (int(rng.integers(20)), 3), scale)
        triangles = _corners(rng, len(vertices), 40)
    faces = np.concatenate([triangles, _neighbours(rng, triangles)], axis=1)
    guard = rng.choice([0, 0.5, 1], len(vertices)).astype(np.float32)
    if rng.random() < 0.1:
        guard = _numbers(rng, (len(vertices),), 2)
    step = step if rng.random() < 0.98 else int(rng.choice([-1, 0, 3, 1 << 30]))
    rounds = int(rng.integers(9)) if rng.random() < 0.98 else int(rng.choice([-1, 9, 1 << 30]))
    return vertices, np.ascontiguousarray(faces, np.int32), guard, hair, step, rounds


def _neighbours(rng: Rng, triangles: Array) -> Array:
    """The triangles beyond each edge, -1 where there is none; sometimes any, rarely impossible."""
    if len(triangles) and rng.random() < 0.2:
        return np.asarray(rng.integers(-1, len(triangles), triangles.shape))
    edges = {}
    for number, corners in enumerate(triangles.tolist()):
        for k in range(3):
            edges[corners[k], corners[(k + 1) % 3]] = number
    rows = [
        [edges.get((corners[(k + 1) % 3], corners[k]), -1) for k in range(3)]
        for corners in triangles.tolist()
    ]
    found = np.array(rows, np.int64).reshape(-1, 3)
    if found.size and rng.random() < 0.05:
        found.flat[rng.integers(found.size)] = rng.choice([len(triangles), -2, 1 << 30])
    return found


def _side(rng: Rng, most: int = 4096) -> int:
    """A side in cells: mostly small, or at the limit and beyond."""
    if rng.random() < 0.01:
        return int(rng.choice([-1, 0, most, most + 1, 1 << 30]))
    return int(rng.integers(1, 64))


def _depth(rng: Rng) -> Arguments:
    side, count = _side(rng), int(rng.integers(40))
    vertices = _numbers(rng, (count, 3), float(rng.choice([abs(side), 1, 1 << 20])))
    source = rng.integers(-1, 2, count).astype(np.int32)
    return vertices, source, _corners(rng, count, 60, np.uint32), side


def _normals(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    return _numbers(rng, (count, 3), float(rng.choice([1, 1 << 20]))), _corners(rng, count, 60)


def _shares(rng: Rng, count: int) -> Array:
    return _numbers(rng, (count, 2), float(rng.choice([1, 4, 1e-3])))


def _shown(rng: Rng, count: int) -> Array:
    """What vertices show: points of a photo and weights."""
    return np.concatenate(
        [_shares(rng, count), np.minimum(_numbers(rng, (count, 1), 1), 1)], axis=1, dtype=np.float32
    )


def _trace(rng: Rng) -> Arguments:
    count, first = int(rng.integers(40)), int(rng.integers(-1 if rng.random() < 0.1 else 0, 20))
    seen = _shown(rng, max(count - first, 0))
    return _shares(rng, count), _corners(rng, count, 60, np.uint32), seen, first, _side(rng)


def _trace_head(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    corners = _corners(rng, count, 60)
    shares = _numbers(rng, (len(corners), 2), 1)
    return corners, shares, _shown(rng, count), np.zeros((len(corners), 3), np.float32)


def _fade(rng: Rng) -> Arguments:
    cells = int(rng.integers(1, 9))
    nodes = _nodes(rng, cells)
    kinds = rng.integers(0, 4, (cells, cells)).astype(np.uint8)
    return kinds, _numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4])))


def _photo(rng: Rng) -> Array:
    shape = tuple(rng.integers(1 if rng.random() < 0.1 else 2, 50, 2).tolist())
    if rng.random() < 0.01:
        shape = (2, int(rng.choice([4096, 4097])))
    return rng.integers(0, 1 << 32, shape).astype(np.uint32)


def _nodes(rng: Rng, cells: int) -> int:
    """A multiple of the cells, rarely any number."""
    return int(rng.integers(70)) if rng.random() < 0.05 else cells * int(rng.integers(1, 9))


def _gather(rng: Rng) -> Arguments:
    cells = int(rng.integers(1, 9)) if rng.random() < 0.95 else int(rng.choice([-1, 0, 1 << 30]))
    nodes = _nodes(rng, max(cells, 1) % 64)
    return _numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4]))), _photo(rng), cells


def _blend(rng: Rng) -> Arguments:
    cells = int(rng.integers(1, 9))
    nodes = _nodes(rng, cells)
    side = nodes * int(rng.integers(1, 5)) if rng.random() < 0.95 else int(rng.integers(70))
    trace = _numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4])))
    plan = rng.uniform(0, 1, (cells, cells, 8)).astype(np.float32)
    plan[..., 6:] = rng.choice([0.0, 1.0, 0.5], (cells, cells, 2))
    plan[..., :6] *= 255
    if rng.random() < 0.2 and plan.size:
        plan.flat[rng.integers(plan.size)] = rng.choice([255, 256, -1, 0, *ABSURD])
    return trace, plan, _photo(rng), rng.integers(0, 256, (side, side, 3)).astype(np.uint8)


def _plan(rng: Rng) -> Arguments:
    side = int(rng.choice([2, 4, 8, 16, 64])) if rng.random() < 0.95 else int(rng.integers(70))
    sums = np.minimum(np.abs(_numbers(rng, (side, side, 4), 1)), 1).astype(np.float32)
    sums *= np.minimum(rng.uniform(0, 3, (side, side, 1)), 1).astype(np.float32)
    sums[..., :3] *= rng.choice(np.array([255, 1, 1e-6], np.float32))
    groups, mouth = rng.integers(0, 6, (2, side, side)).astype(np.uint8)
    if rng.random() < 0.05 and side:
        groups[0, 0] = 6
    facing = _numbers(rng, (side, side, 3), 1)
    rows = side // int(rng.integers(1, 3)) if rng.random() < 0.95 else int(rng.integers(-1, 70))
    return sums, groups, mouth, facing, rows, int(rng.integers(-1 if rng.random() < 0.05 else 0, 3))


def _seen(rng: Rng) -> Arguments:
    side, count = int(rng.integers(1, 24)), int(rng.integers(60))
    shapes = (2, side, side), (side, side), (side, side)
    maps = [_numbers(rng, shape, float(rng.choice([side, 1e5]))) for shape in shapes]
    for one in maps:
        one[rng.random(one.shape) < 0.2] = math.inf
    if rng.random() < 0.03:
        wrong = int(rng.integers(3))
        maps[wrong] = np.zeros((int(rng.integers(3)), *shapes[wrong][1:]), np.float32)
    vertices = _numbers(rng, (count, 3), float(rng.choice([side, 4 * side, 1 << 20])))
    normals = _numbers(rng, (count, 3), 1)
    sides = _numbers(rng, (int(rng.integers(6)), 3), 10)
    return vertices, normals, _which(rng, count), *maps, sides, bool(rng.integers(2))


def _lay_out(rng: Rng) -> Arguments:
    known, count = int(rng.integers(30)), int(rng.integers(60))
    corners = _numbers(rng, (known, 3, 2), float(rng.choice([1, 4, 1e-3])))
    source = rng.integers(-2, max(known, 1), count).astype(np.int32)
    if count and rng.random() < 0.05:
        source[rng.integers(count)] = rng.choice([known, -(1 << 31), (1 << 31) - 1])
    weights = _numbers(rng, (count, 2), float(rng.choice([1, 4])))
    strip, share = (float(v) for v in rng.uniform(0, 1, 2))
    if rng.random() < 0.1:
        strip, share = (float(v) for v in rng.choice([*ABSURD, 0.0, 1.0, -1.0], 2))
    return corners, source, weights, _corners(rng, count, 90, np.uint32), strip, share


def _outline(rng: Rng) -> Arguments:
    side = int(rng.integers(0 if rng.random() < 0.05 else 1, 24))
    maps = _numbers(rng, (2, side, side), float(rng.choice([side, 1e5])))
    maps[rng.random(maps.shape) < rng.random()] = math.inf
    return (maps,)


def _pixels(rng: Rng) -> Arguments:
    shape = *rng.integers(0, 40, 2).tolist(), 3
    return (rng.integers(0, 256, shape).astype(np.uint8),)


def _halve(rng: Rng) -> Arguments:
    return (rng.integers(0, 1 << 32, rng.integers(0, 40, 2)).astype(np.uint32),)


def _which(rng: Rng, count: int) -> Array:
    """Some vertices, rarely one that there is not."""
    return _corners(rng, count, 30, np.uint32).ravel()


def _disk(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    vertices = _numbers(rng, (count, 3), float(rng.choice([1e-3, 60, 1 << 20])))
    frame = _numbers(rng, (4, 3), float(rng.choice([1, 1 << 20])))
    sizes = [float(v) for v in rng.uniform(0, 1, 5)]
    if rng.random() < 0.05:
        sizes[int(rng.integers(5))] = float(rng.choice(ABSURD))
    return vertices, _which(rng, count), frame, *sizes


def _move(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    rows, matrix = _numbers(rng, (count, 3), 1e30), _numbers(rng, (3, 4), 1)
    return rows, _which(rng, count), matrix


def _facing(rng: Rng) -> Arguments:
    side, count = int(rng.integers(0 if rng.random() < 0.05 else 1, 9)), int(rng.integers(1, 40))
    corners = rng.integers(0, count, (side, side, 3)).astype(np.int32)
    if rng.random() < 0.05 and corners.size:
        corners.flat[0] = rng.choice([-1, count, (1 << 31) - 1])
    return _numbers(rng, (count, 3), float(rng.choice([1, 1 << 20]))), corners


def _encode_triangles(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    triangles = _corners(rng, count, 90, np.uint32)
    if rng.random() < 0.3 and len(triangles):
        triangles = np.minimum(triangles[:1] + np.arange(40, dtype=np.uint32)[:, None], count)
    return triangles, count if rng.random() < 0.98 else int(rng.choice([-1, 1 << 27, 1 << 40]))


def _encode_rows(rng: Rng) -> Arguments:
    shape = (int(rng.integers(1, 700)), int(rng.choice([1, 4, 6, 8, 255, 256, 257])))
    rows = rng.integers(0, rng.choice([1, 3, 15, 256]), shape).astype(np.uint8)
    order = rng.integers(0, len(rows), rng.integers(1, 700)).astype(np.uint32)
    if rng.random() < 0.05:
        order[rng.integers(len(order))] = rng.choice([len(rows), (1 << 32) - 1])
    return rows, order


def _octahedral(rng: Rng) -> Arguments:
    return (_numbers(rng, (int(rng.integers(60)), 3), 1),)


def _snap(rng: Rng) -> Arguments:
    scale = float(rng.choice([1e-3, 1, 1 << 20]))
    low = _numbers(rng, (3,), scale).astype(np.float64)
    step = float(rng.choice([scale, scale / 4095, 0, -1, math.nan, math.inf, 1e-310]))
    return _numbers(rng, (int(rng.integers(1, 60)), 3), scale), low, step


CALLS: Final[dict[str, Callable[[Rng], Arguments]]] = {
    "compose": _compose,
    "depth": _depth,
    "normals": _normals,
    "seen": _seen,
    "trace": _trace,
    "trace_head": _trace_head,
    "fade": _fade,
    "gather": _gather,
    "plan": _plan,
    "blend": _blend,
    "lay_out": _lay_out,
    "outline": _outline,
    "pixels": _pixels,
    "halve": _halve,
    "disk": _disk,
    "move": _move,
    "facing": _facing,
    "encode_triangles": _encode_triangles,
    "encode_rows": _encode_rows,
    "octahedral": _octahedral,
    "snap": _snap,
}
"""The functions of the kernel, and what makes arguments for each."""


def _malformed(rng: Rng, value: Any) -> Any:
    """Replace an argument by one of another type, shape, layout or size."""
    kind = rng.integers(9)
    if not isinstance(value, np.ndarray) or kind == 0:
        return WRONG[rng.integers(len(WRONG))]
    if kind == 1:
        return value[..., None]
    if kind == 2:
        return value[0] if len(value) else value.ravel()
    if kind == 3:
        return np.repeat(value, 2, axis=-1)[..., ::2]
    if kind == 4:
        return value[::-1]
    if kind == 5:
        return value.astype(rng.choice(["f8", "i8", "u8", "i1", "?", ">f4", ">i4", "U4", "f2"]))
    if kind == 6:
        return value[: len(value) // 2].copy()
    if kind == 7:
        return memoryview(value.tobytes())
    return value.reshape(-1)


def draw_call(rng: Rng) -> tuple[str, Arguments]:
    """A function's name, and arguments for it, rarely too few or of other kinds."""
    name = list(CALLS)[rng.integers(len(CALLS))]
    arguments = list(CALLS[name](rng))
    if rng.random() < 0.05:
        spot = int(rng.integers(len(arguments)))
        arguments[spot] = _malformed(rng, arguments[spot])
    elif rng.random() < 0.01:
        del arguments[int(rng.integers(len(arguments))) :]
    return name, tuple(arguments)
