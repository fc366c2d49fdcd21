"""Arguments of the painter's functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8, U32
from protome.mesh.colour import raster
from tests.support.shapes import seeded

NODES, CELLS, SIDE = 64, 16, 256


def floats(data: bytearray, *shape: int) -> F32:
    return np.frombuffer(data, np.float32).reshape(shape)


def scattered(seed: int, size: float = 0.08) -> tuple[F32, U32, F32, int]:
    """Places, triangles, and what places show, of many triangles of all sizes."""
    rng = seeded(seed)
    middle = rng.uniform(-0.1, 1.1, (400, 1, 2))
    places = (middle + rng.normal(0, size, (400, 3, 2)) * rng.random((400, 1, 1))).reshape(-1, 2)
    # Neighbours show neighbouring points, as on a head.
    spots = 0.1 + 0.8 * places + 0.05 * np.sin(9 * places[:, ::-1])
    weights = rng.random(1200) * (rng.random(1200) < 0.7)
    seen = np.concatenate([spots, weights[:, None]], axis=1)[90:]
    numbers = np.arange(1200, dtype=np.uint32).reshape(-1, 3)
    return places.astype(np.float32), numbers, seen.astype(np.float32), 90


def inputs(seed: int = 0) -> tuple[F32, F32, U32]:
    """A trace, a plan and a photo."""
    rng = seeded(seed)
    trace = floats(raster.trace(*scattered(seed), NODES), NODES, NODES, 3)
    plan = rng.uniform(0, 255, (CELLS, CELLS, 8)).astype(np.float32)
    for share in (6, 7):
        plan[:, :, share] = rng.choice([0, 0.3, 1], (CELLS, CELLS))
    ramp = np.linspace(0, 255, 200)
    photo = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 90), axis=2)
    return trace, plan, pixels(photo)


def pixels(photo: npt.NDArray[Any]) -> U32:
    """A photo as the painter takes it."""
    channels: U32 = photo.astype(np.uint32)
    return np.asarray(channels @ np.array([1, 1 << 8, 1 << 16], np.uint32), np.uint32)


def seen_cells(seed: int, cells: int = 64) -> tuple[F32, U8, U8, F32, int, int]:
    """What a plan follows from: a lit, coloured head of which some is seen."""
    rng = seeded(seed)
    y, x = (np.indices((cells, cells)) + 0.5) / cells
    facing = np.stack([x - 0.5, y - 0.5, -np.ones_like(x)], axis=2)
    facing /= np.linalg.norm(facing, axis=2, keepdims=True)
    bands = (np.sin(9 * x + seed) + np.sin(7 * y)) * 1.5
    groups = np.where(y < 0.5, np.clip(np.round(bands), 0, 5), 2).astype(np.uint8)
    weight = np.clip(2 * np.sin(5 * x + 2 * seed) + np.sin(8 * y) + 0.3, 0, 1)[:, :, None]
    colour = (160 - 50 * (groups == 2))[:, :, None] * np.array([1, 0.8, 0.7])
    colour = colour * np.exp(facing @ [0.4, 0.1, 0])[:, :, None] + rng.normal(
        0, 6, (cells, cells, 3)
    )
    sums = np.concatenate([np.clip(colour, 0, 255) * weight, weight], axis=2)
    mouth = (groups == 3).astype(np.uint8)
    return sums.astype(np.float32), groups, mouth, facing.astype(np.float32), cells // 2, 1


def placed(seed: int) -> tuple[F32, U32, F32]:
    """Vertices, some of them, and a frame or matrix."""
    rng = seeded(seed)
    vertices = rng.normal(0, 60, (900, 3)).astype(np.float32)
    which = rng.integers(0, 900, 500).astype(np.uint32)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return vertices, which, np.concatenate([[[5, 9, -4]], axes]).astype(np.float32)
