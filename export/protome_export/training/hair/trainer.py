"""Train the hair network: occupancy of cells and silhouettes; averaged weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.training.averaged_run import AveragedRun, begin_run, load_averages
from protome_export.training.checkpoint import averages
from protome_export.training.config import Config, load_config
from protome_export.training.pretrained.selfie import Selfie
from protome_export.training.shape_space import ShapeSpace

from .dataset import HairBatch, HairSamples, assemble, draw_hair_batch
from .network import HairNet

_SILHOUETTE = 0.25  # weight of the silhouettes' loss
# Standard deviations of what the reader's pose is off by: radians, logarithm of scale, px.
_OFF = (0.06, 0.03, 2.0)
_REFRESH = 60.0  # seconds between looks for new shards


@dataclass(frozen=True)
class HairScore:
    """Scores on samples outside of the training set: IoU of cells, IoU of silhouettes, loss."""

    iou: float
    silhouette_iou: float
    loss: float


def hair_losses(logits: Tensor, batch: HairBatch) -> tuple[Tensor, Tensor]:
    """Return the cross entropy of cells, and of columns: the silhouette."""
    each = fn.binary_cross_entropy_with_logits(logits, batch.cells, reduction="none")
    cells = (each * batch.weight).sum() / batch.weight.sum()
    seen = (batch.cells * (batch.weight > 0.5)).amax(1)
    known = batch.weight.amax(1)
    return cells, fn.binary_cross_entropy_with_logits(logits.amax(1), seen, known)


def evaluate_hair(net: HairNet, samples: HairSamples, count: int, config: Config) -> HairScore:
    """Score a network on the first ``count`` samples, at their true poses."""
    net.eval()
    generator = torch.Generator()
    cells, silhouettes, losses = np.zeros(2), np.zeros(2), []
    for start in range(0, min(count, len(samples)), 32):
        rows = list(range(start, min(start + 32, count, len(samples))))
        batch = assemble(samples, rows, config, None, generator)
        with torch.no_grad():
            logits = net(batch.crops, batch.rotation, batch.scale, batch.origin)
        losses.append(float(hair_losses(logits, batch)[0]))
        there = batch.weight > 0.5
        found, true = (logits > 0) & there, (batch.cells > 0.5) & there
        cells += [int((found & true).sum()), int((found | true).sum())]
        found, true = found.any(1), true.any(1)
        silhouettes += [int((found & true).sum()), int((found | true).sum())]
    return HairScore(
        float(cells[0] / max(cells[1], 1)),
        float(silhouettes[0] / max(silhouettes[1], 1)),
        float(np.mean(losses)),
    )


class HairTrainer(AveragedRun[HairNet]):
    """Train one run in config.out: checkpoint.pt (averaged weights), config.toml.

    Args:
        config: batch, rates, minutes and augmentation; ``selfie`` is needed.
        space: the shape space of the reader, for poses.
    """

    def __init__(self, config: Config, space: ShapeSpace) -> None:
        begin_run(config)
        net = HairNet(Selfie(Path(config.selfie)).requires_grad_(False).eval())
        if config.init:
            net.load_state_dict(averages(Path(config.init))[0])
        super().__init__(net, config)
        self.samples = HairSamples(Path(config.shards), space)
        self.held = HairSamples(Path(config.holdout), space)

    def run(self) -> HairScore:
        """Train until the run is over; return the scores on the hold-out.

        Raises:
            FileNotFoundError: there are no shards.
        """
        c = self.c
        if not self.samples.refresh():
            raise FileNotFoundError(f"no shards in {c.shards}")
        self.held.refresh()
        generator = torch.Generator().manual_seed(c.seed)
        looked = time.monotonic()
        recent: list[float] = []
        self.start()
        while self.begin_step():
            batch = draw_hair_batch(self.samples, generator, c)
            pose = _disturbed(batch, generator)
            cells, silhouette = hair_losses(self.net(batch.crops, *pose), batch)
            self.advance(cells + _SILHOUETTE * silhouette)
            recent.append(float(cells.detach()))
            if time.monotonic() - looked > _REFRESH:
                self.samples.refresh()
                looked = time.monotonic()
            if self.step % 100 == 0:
                print(self.step, len(self.samples), f"{np.mean(recent[-100:]):.4f}", flush=True)
            if self.step % c.save_every == 0:
                self.save()
        self.save()
        return evaluate_hair(self.ema, self.held, 512, c)


def _disturbed(batch: HairBatch, generator: torch.Generator) -> Sequence[Tensor]:
    """Return the batch's pose, off by what the reader's is off by."""
    n = len(batch.scale)
    x, y, z = (torch.randn(3, n, generator=generator) * _OFF[0]).unbind()
    zero = torch.zeros(n)
    turn = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(n, 3, 3)
    scale = batch.scale * torch.exp(torch.randn(n, generator=generator) * _OFF[1])
    origin = batch.origin + torch.randn(n, 3, generator=generator) * _OFF[2]
    return torch.matrix_exp(turn) @ batch.rotation, scale, origin


def load_hair(run: Path, selfie: Path | None = None) -> HairNet:
    """Load a run's averaged weights, in evaluation mode.

    ``selfie`` overrides the trunk's path in the run's settings.
    """
    trunk = Selfie(selfie or Path(load_config(run / "config.toml").selfie))
    return load_averages(HairNet(trunk.requires_grad_(False).eval()), run)
