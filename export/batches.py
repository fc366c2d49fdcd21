"""Training batches: random shards, mirror and similarity augmentation, photometric noise."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import cv2
import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from .config import Config
from .headmodel import MIRROR68, Floats
from .network import INPUT
from .shapespace import Poser, ShapeSpace, canonical_heads
from .shards import Shard, find_shards, read_shard


@dataclass
class Batch:
    """crops (B, 3, 96, 96) 0..1; landmarks (B, 68, 3) px, z about their mean; coefficients."""

    crops: Tensor
    landmarks: Tensor
    coefficients: Tensor


def shard_coefficients(path: Path, shard: Shard, poser: Poser, space: ShapeSpace) -> Floats:
    """(n, K) shape coefficients of a shard's heads; kept beside the shard."""
    cache = path.with_suffix(".coefficients.npz")
    stamp = np.float64(np.square(space.modes.astype(np.float64)).sum())
    if cache.exists():
        with np.load(cache) as z:
            if z["stamp"] == stamp:
                return np.asarray(z["coefficients"], np.float32)
    heads = canonical_heads(poser, shard.labels, space.canonical68)
    out = space.coefficients(heads)
    with contextlib.suppress(OSError):  # a read-only folder: computed again next time
        np.savez(cache, coefficients=out, stamp=stamp)
    return out


class Samples:
    """All complete shards of a folder; `refresh` picks up new ones."""

    def __init__(self, folder: Path, poser: Poser, space: ShapeSpace) -> None:
        self.folder, self.poser, self.space = folder, poser, space
        self.shards: list[tuple[Shard, Floats]] = []
        self.seen: set[Path] = set()

    def refresh(self, limit: int | None = None) -> int:
        for path in find_shards(self.folder):
            if path not in self.seen and (limit is None or len(self.seen) < limit):
                shard = read_shard(path)
                coefficients = shard_coefficients(path, shard, self.poser, self.space)
                self.seen.add(path)
                self.shards.append((shard, coefficients))
        return sum(len(s.images) for s, _ in self.shards)


def _augment(
    image: np.ndarray, landmarks: Floats, rng: np.random.Generator, c: Config
) -> tuple[np.ndarray, Floats]:
    """Random similarity of a 192 px image, rendered at 96 px, with its landmarks."""
    any_roll = c.any_roll > 0 and rng.random() < c.any_roll
    angle = np.deg2rad(rng.uniform(-90, 90) if any_roll else rng.normal(0, c.rotate_degrees))
    zoom = float(np.exp(rng.normal(0, c.zoom)))
    ca, sa = np.cos(angle) * zoom, np.sin(angle) * zoom
    a = np.array([[ca, -sa], [sa, ca]])
    middle = np.array([96.0, 100.0])
    offset = middle + rng.normal(0, c.move, 2) - a @ middle
    # cv2 counts pixels from their centres, we from the corner; then 192 -> 96.
    matrix = np.concatenate([a, (offset + a @ [0.5, 0.5] - [0.5, 0.5])[:, None]], 1) / 2
    matrix[:, 2] -= 0.25
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    small = cv2.warpAffine(image, matrix, (INPUT, INPUT), flags=cv2.INTER_AREA, borderMode=border)
    moved = landmarks.copy()
    moved[:, :2] = landmarks[:, :2] @ a.T + offset
    moved[:, 2] = landmarks[:, 2] * zoom
    return small, moved


def _blacken(crop: np.ndarray, rng: np.random.Generator) -> None:
    """Black borders, as crops have that reach beyond the photo; up to a quarter of a side."""
    cuts = [int(rng.integers(1, INPUT // 4)) if rng.random() < 0.5 else 0 for _ in range(4)]
    crop[: cuts[0]] = 0
    crop[INPUT - cuts[1] :] = 0
    crop[:, : cuts[2]] = 0
    crop[:, INPUT - cuts[3] :] = 0


def draw_batch(samples: Samples, rng: np.random.Generator, c: Config) -> Batch:
    """One augmented batch."""
    crops = np.empty((c.batch, INPUT, INPUT, 3), np.uint8)
    marks = np.empty((c.batch, 68, 3), np.float32)
    coefficients = np.empty((c.batch, len(samples.space.modes)), np.float32)
    for b in range(c.batch):
        shard, shape = samples.shards[rng.integers(len(samples.shards))]
        i = int(rng.integers(len(shard.images)))
        image, landmarks, k = np.asarray(shard.images[i]), shard.labels.landmarks[i], shape[i]
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            landmarks = landmarks[MIRROR68] * np.array([-1, 1, 1], np.float32)
            landmarks[:, 0] += 192
            k = samples.space.mirror @ k
        crops[b], marks[b] = _augment(image, landmarks, rng, c)
        if rng.random() < c.borders:
            _blacken(crops[b], rng)
        coefficients[b] = k
    marks[..., 2] -= marks[..., 2].mean(1, keepdims=True)
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    x = _photometric(_shade(_cover(x, rng, c.covered), rng, c.shaded), rng)
    return Batch(x, torch.from_numpy(marks), torch.from_numpy(coefficients))


def _cover(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """A share of the crops with an ellipse of another crop over them: what hides real faces has
    texture, and often is skin or hair."""
    grid = torch.linspace(-1, 1, x.shape[-1])
    row, column = torch.meshgrid(grid, grid, indexing="ij")
    covered = x.clone()
    for b in np.flatnonzero(rng.random(len(x)) < share):
        cx, cy = rng.uniform(-0.9, 0.9, 2)
        wide, high = rng.uniform(0.12, 0.5, 2)
        inside = ((column - cx) / wide) ** 2 + ((row - cy) / high) ** 2 < 1
        other = x[int(rng.integers(len(x)))].roll(int(rng.integers(x.shape[-1])), 2)
        covered[b] = torch.where(inside, other, x[b])
    return covered


def _shade(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Smooth light and shadow over a share of the crops."""
    n = len(x)
    depth = np.where(rng.random((n, 1, 1, 1)) < share, rng.uniform(0.1, 0.7, (n, 1, 1, 1)), 0)
    exponent = torch.from_numpy(rng.normal(0, 1, (n, 1, 3, 3)) * depth).float()
    return x * fn.interpolate(exponent, x.shape[-2:], mode="bicubic", align_corners=True).exp()


def _photometric(x: Tensor, rng: np.random.Generator) -> Tensor:
    n = len(x)

    def some(p: float, low: float, high: float, neutral: float, channels: int = 1) -> Tensor:
        value = rng.uniform(low, high, (n, channels, 1, 1))
        return torch.from_numpy(np.where(rng.random((n, 1, 1, 1)) < p, value, neutral)).float()

    x = x * some(0.6, 0.7, 1.3, 1) + some(0.5, -0.1, 0.1, 0)
    x = x * some(0.35, 0.88, 1.12, 1, 3)
    x = x.clamp(1e-4, 1) ** some(0.4, 0.55, 1.9, 1)
    grey = torch.from_numpy(rng.dirichlet((2.0, 3.0, 1.5), n)).float()  # any film's response
    grey = (x * grey[:, :, None, None]).sum(1, keepdim=True)
    x = torch.lerp(x, grey.expand_as(x), some(0.2, 1, 1, 0))
    blur = fn.avg_pool2d(fn.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.lerp(x, blur, some(0.25, 0.3, 1.0, 0))
    if rng.random() < 0.9:
        for b in np.flatnonzero(rng.random(n) < 0.15):
            h, w = (int(v) for v in rng.integers(5, 32, 2))
            y, q = int(rng.integers(0, INPUT - h)), int(rng.integers(0, INPUT - w))
            x[b, :, y : y + h, q : q + w] = torch.from_numpy(rng.random((3, 1, 1))).float()
    few = fn.interpolate(fn.avg_pool2d(x, 4), x.shape[-2:], mode="bilinear")
    x = torch.lerp(x, few, some(0.08, 0.5, 1.0, 0))
    grain = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return (x + grain * some(0.4, 0, 0.05, 0)).clamp(0, 1)


class Loader:
    """Background threads that keep a queue of batches full."""

    def __init__(self, samples: Samples, config: Config, seed: int) -> None:
        self.queue: Queue[Batch] = Queue(6)
        self.samples, self.config = samples, config
        for k in range(config.loaders):
            threading.Thread(target=self._work, args=(seed + k,), daemon=True).start()

    def _work(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while True:
            self.queue.put(draw_batch(self.samples, rng, self.config))

    def next(self) -> Batch:
        return self.queue.get()
