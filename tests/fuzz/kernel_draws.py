"""Draw arrays for the functions of the C kernel: usual and odd ones."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Rng = np.random.Generator
Arguments = tuple[Any, ...]

# Values at and beyond the limits of the kernel, and those that are no numbers.
ABSURD: Final = np.array(
    [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-40, 481, 1e6, 1 << 20, (1 << 20) + 1, 4, 4.001],
    np.float32,
)


def draw_numbers(rng: Rng, shape: tuple[int, ...], scale: float) -> Array:
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


def draw_corners(rng: Rng, count: int, most: int, kind: type = np.int32) -> Array:
    """Triangles of up to ``most`` times three vertex numbers, rarely one that there is not."""
    triangles: Array = rng.integers(0, max(count, 1), (rng.integers(most + 1), 3)).astype(kind)
    if triangles.size and (not count or rng.random() < 0.05):
        triangles.flat[rng.integers(triangles.size)] = rng.choice([count, 1 << 30, (1 << 31) - 1])
    return triangles
