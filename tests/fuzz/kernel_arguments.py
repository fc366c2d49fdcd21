"""Arguments for the functions of the C kernel: usual, odd and malformed ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from protome.model.card import SHIPPED

from .kernel_colour_arguments import COLOUR_CALLS
from .kernel_draws import Arguments, Array, Rng, draw_corners, draw_numbers

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
        vertices = draw_numbers(rng, (4 * solids, 3), scale)
        triangles = np.concatenate([FOUR[:0], *(FOUR + 4 * s for s in range(solids))])
    else:
        vertices = draw_numbers(rng, (int(rng.integers(20)), 3), scale)
        triangles = draw_corners(rng, len(vertices), 40)
    faces = np.concatenate([triangles, _neighbours(rng, triangles)], axis=1)
    guard = rng.choice([0, 0.5, 1], len(vertices)).astype(np.float32)
    if rng.random() < 0.1:
        guard = draw_numbers(rng, (len(vertices),), 2)
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


def _encode_triangles(rng: Rng) -> Arguments:
    count = int(rng.integers(40))
    triangles = draw_corners(rng, count, 90, np.uint32)
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
    return (draw_numbers(rng, (int(rng.integers(60)), 3), 1),)


def _snap(rng: Rng) -> Arguments:
    scale = float(rng.choice([1e-3, 1, 1 << 20]))
    low = draw_numbers(rng, (3,), scale).astype(np.float64)
    step = float(rng.choice([scale, scale / 4095, 0, -1, math.nan, math.inf, 1e-310]))
    return draw_numbers(rng, (int(rng.integers(1, 60)), 3), scale), low, step


CALLS: Final[dict[str, Callable[[Rng], Arguments]]] = {
    "compose": _compose,
    **COLOUR_CALLS,
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
