"""Train the cover network: what is hidden of each region; averaged weights."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.training.checkpoint import averages
from protome_export.training.config import Config
from protome_export.training.decoder_trainer import DecoderTrainer
from protome_export.training.facemesh import FaceMesh
from protome_export.training.shape_space import ShapeSpace

from .dataset import CoverBatch, CoverSamples, assemble, draw_cover_batch
from .network import CoverNet

_CELLS, _SHARES = 1.0, 1.0  # weights of the losses of cells and of whole regions
# The trunk is most of the work: its maps are kept, and each is trained on several times.
_KEPT = 20_000  # samples
_REPLAYED = 6  # steps for each new batch


def cover_losses(net: CoverNet, cells: Tensor, batch: CoverBatch) -> tuple[Tensor, Tensor]:
    """Return the loss of logits (B, 4, 12, 12), see `CoverNet.cells`: cross entropies of regions
    and of what is hidden in them; and that of the regions' shares."""
    regions = fn.binary_cross_entropy_with_logits(cells[:, :-1], batch.inner)
    area = batch.inner.sum(1)
    each = fn.binary_cross_entropy_with_logits(cells[:, -1], batch.hidden, reduction="none")
    hidden = (each * area).sum() / area.sum().clamp(min=1)
    found = net.shares(cells).clamp(1e-4, 1 - 1e-4)
    off = fn.binary_cross_entropy(found, batch.shares.clamp(0, 1), reduction="none")
    shares = (off * batch.seen).sum() / batch.seen.sum().clamp(min=1)
    return 4 * regions + _CELLS * hidden + _SHARES * shares, shares


@dataclass(frozen=True)
class CoverScore:
    """Scores on samples outside of the training set.

    Attributes:
        error: mean absolute error of the share of the inner face.
        recall: share found of the faces of which more than a quarter is hidden, at the threshold.
        false_alarms: share of the faces of which at most 2 % are hidden, at the threshold.
    """

    error: float
    recall: float
    false_alarms: float
    threshold: float


def shares_of(
    net: CoverNet, samples: CoverSamples, config: Config
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the true and the predicted share of the inner face that is hidden, (n,) each: the mean
    of the regions that the head itself does not hide."""
    net.eval()
    true, found = [], []
    for start in range(0, len(samples), 32):
        rows = list(range(start, min(start + 32, len(samples))))
        batch = assemble(samples, rows, config, None, torch.Generator())
        with torch.no_grad():
            shares = net(batch.windows)
        seen = batch.seen
        count = seen.sum(1).clamp(min=1)
        true.append(((batch.shares * seen).sum(1) / count).numpy())
        found.append(shares.mean(1).numpy())
    return np.concatenate(true), np.concatenate(found)


def score(true: NDArray[np.float32], found: NDArray[np.float32], threshold: float) -> CoverScore:
    """Score predictions (n,) of the hidden share of inner faces against the truth (n,)."""
    over = found > threshold
    error = float(np.abs(true - found).mean())
    recall, false_alarms = float(over[true > 0.25].mean()), float(over[true <= 0.02].mean())
    return CoverScore(error, recall, false_alarms, threshold)


class CoverTrainer(DecoderTrainer[CoverNet]):
    """Train one run of the cover network.

    Args:
        config: see `DecoderTrainer`; ``facemesh`` is needed.
        space: the shape space of the reader, for windows.
    """

    samples: CoverSamples

    def __init__(self, config: Config, space: ShapeSpace) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        mesh = FaceMesh(Path(config.facemesh)).requires_grad_(False).eval()
        super().__init__(config, CoverNet(mesh), CoverSamples(Path(config.shards), space))
        self.held = CoverSamples(Path(config.holdout), space)
        self.kept: deque[tuple[Tensor, ...]] = deque(maxlen=_KEPT // config.batch)

    def run(self) -> list[CoverScore]:
        """Train until the run is over; return scores on the hold-out at several thresholds.

        Raises:
            FileNotFoundError: there are no shards.
        """
        self.held.refresh()
        self.train()
        true, found = shares_of(self.ema, self.held, self.c)
        return [score(true, found, t) for t in (0.1, 0.15, 0.2, 0.25)]

    def losses(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the loss on kept maps, of which one batch in `_REPLAYED` is new; and the shares'
        part of it."""
        if self.step % _REPLAYED == 0:
            batch = draw_cover_batch(self.samples, generator, self.c)
            maps = self.net.maps(batch.windows)
            parts = (*maps, batch.inner, batch.hidden)
            self.kept.append(tuple(part.half() for part in parts))
        self.net.train()
        which = torch.randint(len(self.kept), (2 * self.c.batch,), generator=generator).tolist()
        row = torch.randint(self.c.batch, (2 * self.c.batch,), generator=generator).tolist()
        rows = [[part[r] for part in self.kept[k]] for k, r in zip(which, row, strict=True)]
        f2, f3, inner, hidden = (torch.stack(p).float() for p in zip(*rows, strict=True))
        truth = CoverBatch(torch.empty(0), inner, hidden)
        return cover_losses(self.net, self.net.cells(f2, f3), truth)


def load_cover(run: Path, mesh: FaceMesh) -> CoverNet:
    """Load a run's averaged weights, in evaluation mode, over a trunk."""
    net = CoverNet(mesh)
    net.load_state_dict(averages(run / "checkpoint.pt")[0])
    return net.eval()
