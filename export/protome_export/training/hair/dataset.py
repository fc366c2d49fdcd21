"""Training batches of the hair network: crops, poses and cells, augmented together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from protome.geometry import CROP_SIDE
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.looks.hair_volume import CELL, GRID, PIVOT
from protome_export.training.config import Config
from protome_export.training.dataset import degraded
from protome_export.training.geometry import NEAREST, Similarity, mirrored_landmarks, umeyama
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.shards import find_shards, read_hair, read_shard

from .network import COLUMNS, SLICES

DRAWS = 112  # random numbers a sample may use


@dataclass
class HairBatch:
    """Crops, their poses and the true hair.

    Attributes:
        crops: (B, 3, 208, 208) in 0..1.
        rotation: (B, 3, 3) of the pose.
        scale: (B,) of the pose.
        origin: (B, 3) of the pose, px.
        cells: (B, 42, 52, 52) 0..1, the truth.
        weight: of each cell, 0 inside of the skull and where a moved crop ended.
    """

    crops: Tensor
    rotation: Tensor
    scale: Tensor
    origin: Tensor
    cells: Tensor
    weight: Tensor


class HairSamples:
    """All complete shards of a folder, in memory; `refresh` picks up new ones."""

    def __init__(self, folder: Path, space: ShapeSpace) -> None:
        self.folder = folder
        self.canonical68 = torch.from_numpy(space.canonical68)
        self.mean = torch.from_numpy(space.mean[::3].copy())
        self.seen: set[Path] = set()
        self.parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self.parts)

    def refresh(self) -> int:
        """Load new shards; return the number of samples."""
        for path in find_shards(self.folder):
            if path not in self.seen:
                shard, (hair, skull) = read_shard(path), read_hair(path)
                marks = torch.from_numpy(shard.labels.landmarks.astype(np.float32))
                images = torch.from_numpy(np.array(shard.images))
                self.parts.append((images, marks, torch.from_numpy(hair), torch.from_numpy(skull)))
                self.seen.add(path)
        return len(self)

    def take(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images, landmarks, hair and (packed) skull of these samples."""
        found, starts = [], np.cumsum([0, *(len(part[0]) for part in self.parts)])
        for row in rows:
            k = int(np.searchsorted(starts, row, "right")) - 1
            found.append([part[row - starts[k]] for part in self.parts[k]])
        images, marks, hair, skull = (torch.stack(c) for c in zip(*found, strict=True))
        return images, marks, hair, skull

    def pose(self, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rotation, scale, origin and the camera pivot's z (B,) in the network's frame."""
        rotation, scale, origin = umeyama(landmarks, self.canonical68)
        front = ((rotation[:, 2] @ self.mean.T) * scale[:, None] + origin[:, 2:]).amin(1)
        pivot = NEAREST - front
        return rotation, scale, origin + fn.pad(pivot[:, None], (2, 0)), pivot


def along_z(volume: Tensor, pivot: Tensor, zoom: Tensor) -> Tensor:
    """Resample stored volumes (B, 60, Y, X) to the network's slices, (B, 42, Y, X)."""
    z = (torch.arange(SLICES) + 0.5) * CELL
    at = ((z[None] - pivot[:, None]) / zoom[:, None] + PIVOT) / CELL - 0.5
    low = at.floor()
    share = (at - low)[:, :, None, None]
    index = low.long().clamp(0, GRID[0] - 2)[:, :, None, None].expand(-1, -1, *volume.shape[2:])
    there = ((at >= 0) & (at <= GRID[0] - 1))[:, :, None, None]
    return torch.lerp(volume.gather(1, index), volume.gather(1, index + 1), share) * there


def assemble(
    samples: HairSamples, rows: list[int], c: Config, dice: Dice | None, generator: torch.Generator
) -> HairBatch:
    """Make a batch of these samples, augmented if there are dice."""
    images, landmarks, hair, skull = samples.take(rows)
    n = len(rows)
    bits = torch.from_numpy(np.unpackbits(skull.numpy(), axis=-1, count=COLUMNS))
    volume = torch.cat([hair.float() / 255, bits.float()], 1)
    crops = images.permute(0, 3, 1, 2).float() / 255
    known, zoom = torch.ones(n, 1, COLUMNS, COLUMNS), torch.ones(n)
    if dice is not None:
        flip = dice.chance(0.5)
        twins = mirrored_landmarks(landmarks, CROP_SIDE)
        landmarks = torch.where(flip[:, None, None], twins, landmarks)
        crops = torch.where(flip[:, None, None, None], crops.flip(3), crops)
        volume = torch.where(flip[:, None, None, None], volume.flip(3), volume)
        move = _drawn(dice, c)
        black, everywhere = dice.chance(0.5), torch.ones(n, dtype=torch.bool)
        crops, volume = _moved(crops, move, black), _moved(volume, move, everywhere)
        known = _moved(known, move, everywhere)
        landmarks, zoom = move.points(landmarks), move.zoom
        crops = degraded(crops, dice, generator, c)
    rotation, scale, origin, pivot = samples.pose(landmarks)
    cells = along_z(volume[:, : GRID[0]], pivot, zoom)
    weight = known * (1 - along_z(volume[:, GRID[0] :], pivot, zoom))
    return HairBatch(crops, rotation, scale, origin, cells, weight)


def _drawn(dice: Dice, c: Config) -> Similarity:
    """Draw a similarity of each sample."""
    angle = torch.deg2rad(dice.normal(0, c.rotate_degrees))
    zoom = torch.exp(dice.normal(0, c.zoom))
    middle = torch.tensor([CROP_SIDE / 2, CROP_SIDE / 2])
    return Similarity.about(middle, angle, zoom, dice.normal(0, c.move, 2))


def _moved(pictures: Tensor, move: Similarity, black: Tensor) -> Tensor:
    """Move pictures (B, C, S, S) of the crop at any resolution.

    Outside of them it is black where ``black`` (B,) is set, as outside of a photo, or repeats the
    edge.
    """
    grid = move.grid(pictures.shape[-1], CROP_SIDE)
    moved = fn.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    outside = (grid.abs().amax(3) > 1)[:, None] & black[:, None, None, None]
    return moved.masked_fill(outside, 0)


def draw_hair_batch(samples: HairSamples, generator: torch.Generator, c: Config) -> HairBatch:
    """Draw one augmented batch."""
    dice = Dice.thrown(generator, c.batch, DRAWS)
    rows = dice.pick(len(samples)).tolist()
    return assemble(samples, rows, c, dice, generator)
