"""Arguments for the kernel's functions that colour surfaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from .kernel_draws import ABSURD, Arguments, Array, Rng, draw_corners, draw_numbers


def _side(rng: Rng, most: int = 4096) -> int:
    """A side in cells: mostly small, or at the limit and beyond."""
    if rng.random() < 0.01:
        return int(rng.choice([-1, 0, most, most + 1, 1 << 30]))
    return int(rng.integers(1, 64))


def _depth(rng: Rng) -> Arguments:
    side, count = _side(rng), int(rng.integers(40))
    vertices = draw_numbers(rng, (count, 3), float(rng.choice([abs(side), 1, 1 << 20])))
    source = rng.integers(-1, 2, count).astype(np.int32)
    return vertices, source, draw_corners(rng, count, 60, np.uint32), side


def _normals(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    return draw_numbers(rng, (count, 3), float(rng.choice([1, 1 << 20]))), draw_corners(
        rng, count, 60
    )


def _shares(rng: Rng, count: int) -> Array:
    return draw_numbers(rng, (count, 2), float(rng.choice([1, 4, 1e-3])))


def _shown(rng: Rng, count: int) -> Array:
    """What vertices show: points of a photo and weights."""
    return np.concatenate(
        [_shares(rng, count), np.minimum(draw_numbers(rng, (count, 1), 1), 1)],
        axis=1,
        dtype=np.float32,
    )


def _trace(rng: Rng) -> Arguments:
    count, first = int(rng.integers(40)), int(rng.integers(-1 if rng.random() < 0.1 else 0, 20))
    seen = _shown(rng, max(count - first, 0))
    return _shares(rng, count), draw_corners(rng, count, 60, np.uint32), seen, first, _side(rng)


def _trace_head(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    corners = draw_corners(rng, count, 60)
    shares = draw_numbers(rng, (len(corners), 2), 1)
    return corners, shares, _shown(rng, count), np.zeros((len(corners), 3), np.float32)


def _fade(rng: Rng) -> Arguments:
    cells = int(rng.integers(1, 9))
    nodes = _nodes(rng, cells)
    mouth = rng.integers(0, 2, (cells, cells)).astype(np.uint8)
    return mouth, draw_numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4])))


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
    return draw_numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4]))), _photo(rng), cells


def _blend(rng: Rng) -> Arguments:
    cells = int(rng.integers(1, 9))
    nodes = _nodes(rng, cells)
    side = nodes * int(rng.integers(1, 5)) if rng.random() < 0.95 else int(rng.integers(70))
    trace = draw_numbers(rng, (nodes, nodes, 3), float(rng.choice([1, 4])))
    plan = rng.uniform(0, 1, (cells, cells, 8)).astype(np.float32)
    plan[..., 6:] = rng.choice([0.0, 1.0, 0.5], (cells, cells, 2))
    plan[..., :6] *= 255
    if rng.random() < 0.2 and plan.size:
        plan.flat[rng.integers(plan.size)] = rng.choice([255, 256, -1, 0, *ABSURD])
    return trace, plan, _photo(rng), rng.integers(0, 256, (side, side, 3)).astype(np.uint8)


def _plan(rng: Rng) -> Arguments:
    side = int(rng.choice([2, 4, 8, 16, 64])) if rng.random() < 0.95 else int(rng.integers(70))
    sums = np.minimum(np.abs(draw_numbers(rng, (side, side, 4), 1)), 1).astype(np.float32)
    sums *= np.minimum(rng.uniform(0, 3, (side, side, 1)), 1).astype(np.float32)
    sums[..., :3] *= rng.choice(np.array([255, 1, 1e-6], np.float32))
    groups, mouth = rng.integers(0, 6, (2, side, side)).astype(np.uint8)
    if rng.random() < 0.05 and side:
        groups[0, 0] = 6
    facing = draw_numbers(rng, (side, side, 3), 1)
    rows = side // int(rng.integers(1, 3)) if rng.random() < 0.95 else int(rng.integers(-1, 70))
    return sums, groups, mouth, facing, rows, int(rng.integers(-1 if rng.random() < 0.05 else 0, 3))


def _seen(rng: Rng) -> Arguments:
    side, count = int(rng.integers(1, 24)), int(rng.integers(60))
    shapes = (2, side, side), (2, side, side), (side, side)
    maps = [draw_numbers(rng, shape, float(rng.choice([side, 1e5]))) for shape in shapes]
    for one in maps:
        one[rng.random(one.shape) < 0.2] = math.inf
    if rng.random() < 0.03:
        wrong = int(rng.integers(3))
        maps[wrong] = np.zeros((int(rng.integers(3)), *shapes[wrong][1:]), np.float32)
    vertices = draw_numbers(rng, (count, 3), float(rng.choice([side, 4 * side, 1 << 20])))
    normals = draw_numbers(rng, (count, 3), 1)
    sides = draw_numbers(rng, (int(rng.integers(6)), 3), 10)
    return vertices, normals, _which(rng, count), *maps, sides, bool(rng.integers(2))


def _lay_out(rng: Rng) -> Arguments:
    known, count = int(rng.integers(30)), int(rng.integers(60))
    corners = draw_numbers(rng, (known, 3, 2), float(rng.choice([1, 4, 1e-3])))
    source = rng.integers(-2, max(known, 1), count).astype(np.int32)
    if count and rng.random() < 0.05:
        source[rng.integers(count)] = rng.choice([known, -(1 << 31), (1 << 31) - 1])
    weights = draw_numbers(rng, (count, 2), float(rng.choice([1, 4])))
    strip, share = (float(v) for v in rng.uniform(0, 1, 2))
    if rng.random() < 0.1:
        strip, share = (float(v) for v in rng.choice([*ABSURD, 0.0, 1.0, -1.0], 2))
    return corners, source, weights, draw_corners(rng, count, 90, np.uint32), strip, share


def _outline(rng: Rng) -> Arguments:
    side = int(rng.integers(0 if rng.random() < 0.05 else 1, 24))
    maps = draw_numbers(rng, (2, side, side), float(rng.choice([side, 1e5])))
    maps[rng.random(maps.shape) < rng.random()] = math.inf
    return (maps,)


def _pixels(rng: Rng) -> Arguments:
    shape = *rng.integers(0, 40, 2).tolist(), 3
    return (rng.integers(0, 256, shape).astype(np.uint8),)


def _halve(rng: Rng) -> Arguments:
    return (rng.integers(0, 1 << 32, rng.integers(0, 40, 2)).astype(np.uint32),)


def _which(rng: Rng, count: int) -> Array:
    """Some vertices, rarely one that there is not."""
    return draw_corners(rng, count, 30, np.uint32).ravel()


def _disk(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    vertices = draw_numbers(rng, (count, 3), float(rng.choice([1e-3, 60, 1 << 20])))
    frame = draw_numbers(rng, (4, 3), float(rng.choice([1, 1 << 20])))
    sizes = [float(v) for v in rng.uniform(0, 1, 5)]
    if rng.random() < 0.05:
        sizes[int(rng.integers(5))] = float(rng.choice(ABSURD))
    return vertices, _which(rng, count), frame, *sizes


def _move(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    rows, matrix = draw_numbers(rng, (count, 3), 1e30), draw_numbers(rng, (3, 4), 1)
    return rows, _which(rng, count), matrix


def _facing(rng: Rng) -> Arguments:
    side, count = int(rng.integers(0 if rng.random() < 0.05 else 1, 9)), int(rng.integers(1, 40))
    corners = rng.integers(0, count, (side, side, 3)).astype(np.int32)
    if rng.random() < 0.05 and corners.size:
        corners.flat[0] = rng.choice([-1, count, (1 << 31) - 1])
    return draw_numbers(rng, (count, 3), float(rng.choice([1, 1 << 20]))), corners


COLOUR_CALLS: Final[dict[str, Callable[[Rng], Arguments]]] = {
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
}
"""The functions, and what makes arguments for each."""
