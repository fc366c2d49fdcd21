"""Training batches of the cover network: windows, and what is hidden in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.render.drawing.random_draws import Dice
from protome_export.render.looks.hair_volume import CELL
from protome_export.training.config import Config
from protome_export.training.dataset import covered, degraded, finder_frame
from protome_export.training.geometry import CROP, FINDER_CORNER, mirrored_landmarks, umeyama
from protome_export.training.pretrained.facemesh import FaceMesh
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.shards import find_shards, read_covers, read_shard
from protome_export.training.window import SIDE, around, face_size

from .network import CELLS

DRAWS = 112  # random numbers a sample may use
_BATCH = 32
_LEAST = 0.15  # cells of a region, below which its share is not known


@dataclass
class CoverBatch:
    """Windows and what is hidden in them.

    Attributes:
        windows: (B, 3, 192, 192) in 0..1.
        inner: (B, 3, 12, 12) the part of each cell that a region takes.
        hidden: (B, 12, 12) the part of each cell that is hidden.
    """

    windows: Tensor
    inner: Tensor
    hidden: Tensor

    @property
    def shares(self) -> Tensor:
        """The hidden share of each region, (B, 3)."""
        area = self.inner.sum((2, 3))
        return (self.inner * self.hidden[:, None]).sum((2, 3)) / area.clamp(min=1e-6)

    @property
    def seen(self) -> Tensor:
        """Whether the head itself leaves some of a region to be seen, (B, 3) bool."""
        return self.inner.sum((2, 3)) > _LEAST


class CoverSamples:
    """All complete shards of a folder, in memory; `refresh` picks up new ones."""

    def __init__(self, folder: Path, space: ShapeSpace) -> None:
        self.folder = folder
        self.canonical68 = torch.from_numpy(space.canonical68)
        self.face_size = face_size(self.canonical68)
        self.seen: set[Path] = set()
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self.parts)

    def refresh(self) -> int:
        """Load new shards; return the number of samples."""
        left, top = (int(c / CELL) for c in FINDER_CORNER)
        side = int(CROP / CELL)
        for path in find_shards(self.folder):
            if path not in self.seen:
                images, landmarks = finder_frame(read_shard(path))
                inner, hidden = read_covers(path)
                cells = np.concatenate([inner, hidden[:, None]], 1)
                cells = cells[:, :, top : top + side, left : left + side]
                marks, grid = torch.from_numpy(landmarks), torch.from_numpy(cells.copy())
                self.parts.append((torch.from_numpy(np.array(images)), marks, grid))
                self.seen.add(path)
        return len(self)

    def take(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Look up these samples.

        Returns:
            images (B, 192, 192, 3) uint8, landmarks (B, 68, 3) and cells (B, 4, 48, 48) uint8.
        """
        found, starts = [], np.cumsum([0, *(len(part[0]) for part in self.parts)])
        for row in rows:
            k = int(np.searchsorted(starts, row, "right")) - 1
            found.append([part[row - starts[k]] for part in self.parts[k]])
        images, landmarks, cells = (torch.stack(c) for c in zip(*found, strict=True))
        return images, landmarks, cells


def assemble(
    samples: CoverSamples, rows: list[int], c: Config, dice: Dice | None, generator: torch.Generator
) -> CoverBatch:
    """Make a batch of these samples, augmented if there are dice."""
    images, landmarks, cells = samples.take(rows)
    crops = images.permute(0, 3, 1, 2).float() / 255
    grid = cells.float() / 255
    jitter = None
    if dice is not None:
        flip = dice.chance(0.5)
        twins = mirrored_landmarks(landmarks, CROP)
        landmarks = torch.where(flip[:, None, None], twins, landmarks)
        crops, grid = (torch.where(flip[:, None, None, None], x.flip(3), x) for x in (crops, grid))
        turn = torch.deg2rad(dice.normal(0, c.rotate_degrees, 1))
        jitter = torch.cat([turn, dice.normal(0, c.zoom, 1), dice.normal(0, c.move, 2)], 1)
    rotation, scale, _ = umeyama(landmarks, samples.canonical68)
    place = around(landmarks, rotation, scale, samples.face_size, jitter)
    windows = place.cut(crops)
    grid = fn.avg_pool2d(place.cut(grid), SIDE // CELLS)
    inner, hidden = grid[:, :-1], grid[:, -1]
    if dice is not None:
        windows, over = covered(windows, dice, c.covered)
        over = fn.avg_pool2d(over.float(), SIDE // CELLS)
        hidden = hidden + (1 - hidden) * over
        windows = degraded(windows, dice, generator, c, covers=False)
    return CoverBatch(windows, inner, hidden)


@dataclass(frozen=True)
class Examples:
    """The n windows as the network learns from them, in FP16.

    Attributes:
        f1: maps (n, 64, 24, 24).
        f2: maps (n, 128, 12, 12).
        f3: maps (n, 128, 6, 6).
        inner: (n, 3, 12, 12), see `CoverBatch`.
        hidden: (n, 12, 12), see `CoverBatch`.
    """

    f1: Tensor
    f2: Tensor
    f3: Tensor
    inner: Tensor
    hidden: Tensor

    def __len__(self) -> int:
        return len(self.hidden)

    def rows(self, rows: Tensor | slice) -> tuple[list[Tensor], CoverBatch]:
        """Return maps and truth of some, as FP32; the windows are gone."""
        f1, f2, f3, inner, hidden = (part[rows].float() for part in vars(self).values())
        return [f1, f2, f3], CoverBatch(hidden[:, :0], inner, hidden)


def examples(
    samples: CoverSamples, mesh: FaceMesh, c: Config, count: int, seed: int | None
) -> Examples:
    """Compute the maps of ``count`` windows, all samples in turn.

    They are augmented, or as they are if there is no seed.

    Raises:
        FileNotFoundError: there are no shards.
    """
    if not samples.refresh():
        raise FileNotFoundError(f"no shards in {samples.folder}")
    generator = torch.Generator().manual_seed(seed or 0)
    order = torch.arange(len(samples))
    if seed is not None:
        order = order[torch.randperm(len(samples), generator=generator)]
    parts = []
    for start in range(0, count, _BATCH):
        rows = order[torch.arange(start, min(start + _BATCH, count)) % len(samples)].tolist()
        dice = None if seed is None else Dice.thrown(generator, len(rows), DRAWS)
        batch = assemble(samples, rows, c, dice, generator)
        with torch.no_grad():
            maps = mesh.maps(batch.windows)[1:]
        parts.append([part.half() for part in (*maps, batch.inner, batch.hidden)])
    return Examples(*(torch.cat(part) for part in zip(*parts, strict=True)))
