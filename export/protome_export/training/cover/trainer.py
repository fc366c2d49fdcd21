"""Train the cover network on maps that were computed once; averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.training.averaged_run import AveragedRun, begin_run, load_averages
from protome_export.training.config import Config
from protome_export.training.pretrained.facemesh import FaceMesh
from protome_export.training.shape_space import ShapeSpace

from .dataset import CoverBatch, CoverSamples, Examples, examples
from .network import CoverNet

_REGIONS = 4.0  # weight of the regions' loss
_LARGE, _NONE = 0.25, 0.02  # hidden shares of the inner face from which it is covered, and is not


def cover_losses(net: CoverNet, cells: Tensor, batch: CoverBatch) -> Tensor:
    """Return the loss of logits (B, 4, 12, 12), see `CoverNet.cells`.

    It sums cross entropies of regions, of what is hidden in them, and of the regions' shares.
    """
    regions = fn.binary_cross_entropy_with_logits(cells[:, :-1], batch.inner)
    area = batch.inner.sum(1)
    each = fn.binary_cross_entropy_with_logits(cells[:, -1], batch.hidden, reduction="none")
    hidden = (each * area).sum() / area.sum().clamp(min=1)
    found = net.shares(cells).clamp(1e-4, 1 - 1e-4)
    off = fn.binary_cross_entropy(found, batch.shares.clamp(0, 1), reduction="none")
    shares = (off * batch.seen).sum() / batch.seen.sum().clamp(min=1)
    return _REGIONS * regions + hidden + shares


@dataclass(frozen=True)
class CoverScore:
    """Scores outside of the training set, of the mean of the regions' shares.

    Attributes:
        error: its mean absolute error.
        threshold: of it, from which a face is called covered.
        recall: share called covered of the faces of which over a quarter is hidden.
        false_alarms: share called covered of those of which at most a fiftieth is hidden.
    """

    error: float
    threshold: float
    recall: float
    false_alarms: float


def score(true: NDArray[np.float32], found: NDArray[np.float32], threshold: float) -> CoverScore:
    """Score predictions (n,) of the hidden share of inner faces against the truth (n,)."""
    over = found >= threshold
    recall, false_alarms = float(over[true > _LARGE].mean()), float(over[true <= _NONE].mean())
    return CoverScore(float(np.abs(true - found).mean()), threshold, recall, false_alarms)


def evaluate_cover(net: CoverNet, held: Examples) -> list[CoverScore]:
    """Score a network at several thresholds."""
    net.eval()
    true, found = [], []
    for start in range(0, len(held), 64):
        maps, batch = held.rows(slice(start, start + 64))
        with torch.no_grad():
            found.append(net(maps).mean(1))
        seen = batch.seen  # what the head itself hides does not count
        true.append((batch.shares * seen).sum(1) / seen.sum(1).clamp(min=1))
    both = torch.cat(true).numpy(), torch.cat(found).numpy()
    return [score(*both, threshold) for threshold in (0.15, 0.2, 0.25, 0.3)]


class CoverTrainer(AveragedRun[CoverNet]):
    """Train one run in config.out: checkpoint.pt (averaged weights), config.toml.

    Args:
        config: batch, rates, steps, augmentation, and as ``fresh`` how many windows are augmented.
        space: the shape space of the reader, for windows.

    Raises:
        FileNotFoundError: there are no shards, or they were generated without covered faces.
    """

    def __init__(self, config: Config, space: ShapeSpace) -> None:
        begin_run(config)
        mesh = FaceMesh(Path(config.facemesh)).requires_grad_(False).eval()
        held = CoverSamples(Path(config.holdout), space)
        self.held = examples(held, mesh, config, held.refresh(), None)
        samples = CoverSamples(Path(config.shards), space)
        self.train = examples(samples, mesh, config, config.fresh, config.seed)
        super().__init__(CoverNet(), config)

    def run(self) -> list[CoverScore]:
        """Train until the run is over; return scores on the hold-out at several thresholds."""
        generator = torch.Generator().manual_seed(self.c.seed)
        self.net.train()
        self.start()
        while self.begin_step():
            rows = torch.randint(len(self.train), (self.c.batch,), generator=generator)
            loss = self.loss(rows)
            self.advance(loss)
            if self.step % 100 == 0:
                print(self.step, f"{float(loss.detach()):.4f}", flush=True)
        self.save()
        return evaluate_cover(self.ema, self.held)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the loss of some of the training windows."""
        maps, batch = self.train.rows(rows)
        return cover_losses(self.net, self.net.cells(maps), batch)


def load_cover(run: Path) -> CoverNet:
    """Load a run's averaged weights, in evaluation mode."""
    return load_averages(CoverNet(), run)
