"""Training batches: random samples, mirror and similarity augmentation, photometric noise.

This is tensor code on the device that trains.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.heads.model import Floats
from protome_export.render.drawing.paint import framed, window
from protome_export.render.drawing.random_draws import Dice

from .config import Config
from .finder.network import SIDE as INPUT
from .geometry import CROP, FINDER_CORNER, Similarity, mirrored_landmarks, umeyama
from .shape_space import Poser, ShapeSpace, canonical_heads
from .shards import Shard, find_shards, read_shard
from .window import around, face_size

DRAWS = 104  # random numbers a sample may use
_BOXES = 0.135  # share of pictures with a box of one colour
_MIDDLE = (96.0, 100.0)  # crop px that turns and zooms leave where it is


@dataclass
class Batch:
    """windows (B, 3, 192, 192) 0..1; landmarks (B, 68, 3) px, z about their mean; coefficients."""

    windows: Tensor
    landmarks: Tensor
    coefficients: Tensor


@dataclass
class Stored:
    """Images (n, 192, 192, 3) uint8, landmarks (n, 68, 3), coefficients (n, K) of a shard.

    On the CPU images are mapped from disk.
    """

    images: Tensor
    landmarks: Tensor
    coefficients: Tensor


def shard_coefficients(path: Path, shard: Shard, poser: Poser, space: ShapeSpace) -> Floats:
    """Compute the shape coefficients (n, K) of a shard's heads; they are cached beside it."""
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


def finder_frame(shard: Shard) -> tuple[NDArray[np.uint8], Floats]:
    """Return what the finder sees of a shard: crops (n, 192, 192, 3), landmarks (n, 68, 3), px."""
    left, top = FINDER_CORNER
    images = shard.images[:, top : top + CROP, left : left + CROP]
    moved = shard.labels.landmarks - np.array([left, top, 0], np.float32)
    return images, moved.astype(np.float32)


class Samples:
    """All complete shards of a folder; `refresh` picks up new ones."""

    def __init__(
        self, folder: Path, poser: Poser, space: ShapeSpace, device: torch.device | None = None
    ) -> None:
        self.folder, self.poser, self.space = folder, poser, space
        self.device = device or torch.device("cpu")
        self.mirror = torch.from_numpy(space.mirror.astype(np.float32)).to(self.device)
        self.canonical68 = torch.from_numpy(space.canonical68).to(self.device)
        self.face_size = face_size(self.canonical68)
        self.shards: list[Stored] = []
        self.seen: set[Path] = set()

    def __len__(self) -> int:
        return sum(len(s.images) for s in self.shards)

    def refresh(self, limit: int | None = None) -> int:
        """Load new shards, up to ``limit`` shards in all; return the number of samples."""
        shards = list(self.shards)
        for path in find_shards(self.folder):
            if path not in self.seen and (limit is None or len(self.seen) < limit):
                shard = read_shard(path)
                coefficients = shard_coefficients(path, shard, self.poser, self.space)
                self.seen.add(path)
                images, landmarks = finder_frame(shard)
                arrays = (images, landmarks, coefficients)
                shards.append(Stored(*(torch.from_numpy(a).to(self.device) for a in arrays)))
        if self.device.type != "cpu" and len(shards) > 1:
            # On a GPU all as one, from which a batch is one look-up.
            fields = zip(*(vars(s).values() for s in shards), strict=True)
            shards = [Stored(*map(torch.cat, fields))]
        self.shards = shards
        return len(self)

    def take(self, dice: Dice) -> Stored:
        """Draw one random sample per row of dice."""
        if self.device.type != "cpu":
            whole = self.shards[0]
            dice.uniform()  # both ways use up two columns of dice
            rows_at = dice.pick(len(whole.images))
            return Stored(*(part[rows_at] for part in vars(whole).values()))
        which, place = dice.pick(len(self.shards)).tolist(), dice.uniform().tolist()
        chosen = [self.shards[k] for k in which]
        at = [int(u * len(s.images)) for s, u in zip(chosen, place, strict=True)]
        rows = list(zip(chosen, at, strict=True))
        return Stored(
            torch.stack([s.images[i] for s, i in rows]),
            torch.stack([s.landmarks[i] for s, i in rows]),
            torch.stack([s.coefficients[i] for s, i in rows]),
        )


def mirrored(s: Stored, flip: Tensor, mirror: Tensor) -> Stored:
    """Mirror the samples marked by flip (B,); mirror (K, K): see `ShapeSpace`."""
    twins = mirrored_landmarks(s.landmarks, CROP)
    return Stored(
        torch.where(flip[:, None, None, None], s.images.flip(2), s.images),
        torch.where(flip[:, None, None], twins, s.landmarks),
        torch.where(flip[:, None], s.coefficients @ mirror.T, s.coefficients),
    )


def augmented(images: Tensor, landmarks: Tensor, dice: Dice, c: Config) -> tuple[Tensor, Tensor]:
    """Apply random similarities to images (B, 192, 192, 3) uint8 and landmarks (B, 68, 3).

    Returns:
        crops (B, 3, 96, 96) 0..1, and the landmarks moved with them.
    """
    device = images.device
    turned = dice.normal(0, c.rotate_degrees), dice.uniform(-90, 90)
    angle = torch.deg2rad(torch.where(dice.chance(c.any_roll), turned[1], turned[0]))
    zoom = torch.exp(dice.normal(0, c.zoom))
    middle = torch.tensor(_MIDDLE, device=device)
    move = Similarity.about(middle, angle, zoom, dice.normal(0, c.move, 2))
    grid = move.grid(INPUT, CROP)
    planar = images.permute(0, 3, 1, 2).float() / 255
    crops = fn.grid_sample(planar, grid, padding_mode="border", align_corners=False)
    outside = (grid.abs().amax(3) > 1)[:, None]
    black = dice.chance(0.5)[:, None, None, None]
    return crops.masked_fill(outside & black, 0), move.points(landmarks)


def windowed(
    images: Tensor, landmarks: Tensor, samples: Samples, dice: Dice, c: Config
) -> tuple[Tensor, Tensor]:
    """Cut windows around the true faces, displaced at random as a finder would displace them.

    Args:
        images: (B, 192, 192, 3) uint8.
        landmarks: (B, 68, 3) crop frame, px.
        samples: where they come from.
        dice: random numbers.
        c: spread of roll, zoom and position.

    Returns:
        Windows (B, 3, 192, 192) in 0..1 and landmarks (B, 68, 3) in the window frame, px.
    """
    turn = torch.deg2rad(dice.normal(0, c.rotate_degrees, 1))
    jitter = torch.cat([turn, dice.normal(0, c.zoom, 1), dice.normal(0, c.move, 2)], 1)
    rotation, scale, _ = umeyama(landmarks, samples.canonical68)
    place = around(landmarks, rotation, scale, samples.face_size, jitter)
    return place.cut(images.permute(0, 3, 1, 2).float() / 255), place.from_crop(landmarks)


def _bordered(x: Tensor, dice: Dice, share: float) -> Tensor:
    """Draw black borders, as of crops that reach beyond the photo; up to a quarter of a side."""
    cut = (
        (1 + dice.pick(x.shape[-1] // 4 - 1, 4)) * dice.chance(0.5, 4) * dice.chance(share)[:, None]
    )
    return framed(x, cut)


def covered(x: Tensor, dice: Dice, share: float) -> tuple[Tensor, Tensor]:
    """Cover a share of the crops (B, 3, S, S) by an ellipse of another crop.

    What hides real faces has texture, and often is skin or hair. Return the crops, and
    where they are covered, (B, S, S).
    """
    centre, half = dice.uniform(-0.9, 0.9, 2), dice.uniform(0.12, 0.5, 2)
    side = x.shape[-1]
    other, shift = dice.pick(len(x)), dice.pick(side)
    at = torch.nonzero(dice.chance(share))[:, 0]
    grid = torch.linspace(-1, 1, side, device=x.device)
    u, v = ((grid - centre[at, k, None]) / half[at, k, None] for k in (0, 1))
    inside = (u.square()[:, None] + v.square()[:, :, None] < 1)[:, None]
    column = (torch.arange(side, device=x.device) - shift[at, None]) % side
    piece = x[other[at]].gather(3, column[:, None, None].expand(-1, 3, side, -1))
    out, over = x.clone(), torch.zeros_like(x[:, 0], dtype=torch.bool)
    out[at], over[at] = torch.where(inside, piece, x[at]), inside[:, 0]
    return out, over


def _shaded(x: Tensor, dice: Dice, share: float) -> Tensor:
    """Lay smooth light and shadow over a share of the crops."""
    depth = dice.uniform(0.1, 0.7) * dice.chance(share)
    exponent = dice.normal(0, 1, 1, 3, 3) * depth[:, None, None, None]
    return x * fn.interpolate(exponent, x.shape[-2:], mode="bicubic", align_corners=True).exp()


def _photometric(x: Tensor, dice: Dice, boxes: float) -> Tensor:
    def some(p: float, low: float, high: float, neutral: float, channels: int = 1) -> Tensor:
        value = dice.uniform(low, high, channels, 1, 1)
        return torch.where(dice.chance(p)[:, None, None, None], value, neutral)

    x = x * some(0.6, 0.7, 1.3, 1) + some(0.5, -0.1, 0.1, 0)
    x = x * some(0.35, 0.88, 1.12, 1, 3)
    x = x.clamp(1e-4, 1) ** some(0.4, 0.55, 1.9, 1)
    film = dice.uniform(0.05, 1, 3) * torch.tensor([2.0, 3.0, 1.5], device=x.device)
    film = film / film.sum(1, keepdim=True)  # any film's response
    grey = (x * film[:, :, None, None]).sum(1, keepdim=True)
    x = torch.lerp(x, grey.expand_as(x), some(0.2, 1, 1, 0))
    k = x.shape[-1] // INPUT
    blur = fn.avg_pool2d(fn.pad(x, (k, k, k, k), mode="replicate"), 2 * k + 1, 1)
    x = torch.lerp(x, blur, some(0.25, 0.3, 1.0, 0))
    x = _boxed(x, dice, boxes)
    few = fn.interpolate(fn.avg_pool2d(x, 4 * k), x.shape[-2:], mode="bilinear")
    return torch.lerp(x, few, some(0.08, 0.5, 1.0, 0))


def _boxed(x: Tensor, dice: Dice, share: float) -> Tensor:
    """Draw a box of one colour over a share of the crops."""
    side = x.shape[-1]
    size = (5 + dice.pick(27, 2)) * side // INPUT
    corner = (dice.uniform(0, 1, 2) * (side - size)).long()
    box = window(corner, corner + size, side) & dice.chance(share)[:, None, None]
    return torch.where(box[:, None], dice.uniform(0, 1, 3)[:, :, None, None], x)


def degraded(
    x: Tensor, dice: Dice, generator: torch.Generator, c: Config, covers: bool = True
) -> Tensor:
    """Add black borders, covers (if asked for), shadows, colour casts, blur and grain.

    Pictures ``x`` are (B, 3, S, S) in 0..1.
    """
    x, _ = covered(_bordered(x, dice, c.borders), dice, c.covered * covers)
    x = _photometric(_shaded(x, dice, c.shaded), dice, _BOXES * covers)
    grain = torch.randn(x.shape, generator=generator, device=x.device)
    grainy = dice.uniform(0, 0.05) * dice.chance(0.4)
    return (x + grain * grainy[:, None, None, None]).clamp(0, 1)


def draw_crops(samples: Samples, generator: torch.Generator, c: Config) -> tuple[Tensor, Tensor]:
    """Draw augmented crops (B, 3, 96, 96) and their landmarks (B, 68, 3), crop px."""
    dice = Dice.thrown(generator, c.batch, DRAWS)
    drawn = mirrored(samples.take(dice), dice.chance(0.5), samples.mirror)
    x, landmarks = augmented(drawn.images, drawn.landmarks, dice, c)
    return degraded(x, dice, generator, c), landmarks


def draw_batch(samples: Samples, generator: torch.Generator, c: Config) -> Batch:
    """Draw one augmented batch of windows."""
    dice = Dice.thrown(generator, c.batch, DRAWS)
    drawn = mirrored(samples.take(dice), dice.chance(0.5), samples.mirror)
    x, landmarks = windowed(drawn.images, drawn.landmarks, samples, dice, c)
    x = degraded(x, dice, generator, c)
    landmarks[..., 2] -= landmarks[..., 2].mean(1, keepdim=True)
    return Batch(x, landmarks, drawn.coefficients)


class Loader:
    """Background threads that keep a queue of batches full."""

    def __init__(self, samples: Samples, config: Config, seed: int) -> None:
        self.queue: Queue[Batch] = Queue(6)
        self.samples, self.config = samples, config
        for k in range(config.loaders):
            threading.Thread(target=self._work, args=(seed + k,), daemon=True).start()

    def _work(self, seed: int) -> None:
        generator = torch.Generator(self.samples.device).manual_seed(seed)
        while True:
            self.queue.put(draw_batch(self.samples, generator, self.config))

    def next(self) -> Batch:
        return self.queue.get()
