"""Train the finder: windows around true faces; averaged weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.load import load_head
from protome_export.training.averaged_run import AveragedRun, begin_run, load_averages
from protome_export.training.checkpoint import averages
from protome_export.training.config import Config
from protome_export.training.dataset import Samples, draw_crops
from protome_export.training.geometry import CROP, umeyama
from protome_export.training.pretrained.yunet import YuNet
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.window import Window, around

from .network import FinderNet, mirrored_vote, vote_for

_TRUNK_RATE = 0.4  # share of the learning rate for the pretrained trunk
_SCALE = (1.0, 1.0, 1.0, CROP / 2, CROP / 2)  # of the parts of a vote in the loss
_DIM, _BRIGHT = 0.85, 1.15  # factors of a crop each time that it is learned from
_HELD = 8  # batches of the hold-out that are scored


@dataclass(frozen=True)
class FinderScore:
    """Mean absolute errors outside of the training set.

    Attributes:
        degrees: of the turn.
        zoom: of the zoom's logarithm.
        distance: of the centre, crop px.
    """

    degrees: float
    zoom: float
    distance: float


def finder_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Return the loss of votes (B, 5): the mean distance of each part from the truth."""
    scale = torch.tensor(_SCALE, device=found.device)
    return ((found - truth).abs() / scale).sum(1).mean()


class FinderTrainer(AveragedRun[FinderNet]):
    """Train one run in config.out: checkpoint.pt (averaged weights), config.toml.

    Args:
        config: batch, rates, minutes, augmentation, and as ``fresh`` how many crops are augmented,
            once, before the first step.
        space: the shape space of the reader, for poses.

    Raises:
        FileNotFoundError: there are no shards.
    """

    def __init__(self, config: Config, space: ShapeSpace) -> None:
        begin_run(config)
        net = FinderNet(YuNet())
        if config.init:
            net.load_state_dict(averages(Path(config.init))[0])
        super().__init__(net, config, {"trunk.": _TRUNK_RATE})
        poser = Poser(load_head(config.head))
        samples = Samples(Path(config.shards), poser, space)
        if not samples.refresh():
            raise FileNotFoundError(f"no shards in {config.shards}")
        self.held = Samples(Path(config.holdout), poser, space)
        self.crops, self.votes = _examples(samples, config)

    def run(self) -> FinderScore:
        """Train until the run is over; return the errors on the hold-out."""
        generator = torch.Generator().manual_seed(self.c.seed)
        recent: list[float] = []
        self.net.train()
        self.start()
        while self.begin_step():
            crops, votes = self._draw(generator)
            loss = finder_loss(self.net(crops), votes)
            self.advance(loss)
            recent.append(float(loss.detach()))
            if self.step % 100 == 0:
                print(self.step, f"{np.mean(recent[-100:]):.4f}", flush=True)
            if self.step % self.c.save_every == 0:
                self.save()
        self.save()
        self.held.refresh()
        return evaluate_finder(self.ema, self.held, self.c)

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch of the augmented crops, half of the batches mirrored."""
        rows = torch.randint(len(self.crops), (self.c.batch,), generator=generator)
        crops, votes = self.crops[rows].float() / 255, self.votes[rows]
        if torch.rand(1, generator=generator) < 0.5:
            crops, votes = crops.flip(3), mirrored_vote(votes)
        light = torch.rand(len(rows), 1, 1, 1, generator=generator) * (_BRIGHT - _DIM) + _DIM
        return (crops * light).clamp(0, 1), votes


def _examples(samples: Samples, c: Config) -> tuple[Tensor, Tensor]:
    """Return augmented crops (n, 3, 96, 96) uint8 and the true votes (n, 5)."""
    generator = torch.Generator().manual_seed(c.seed)
    crops, votes = [], []
    for _ in range(0, c.fresh, c.batch):
        pictures, truth = draw_windows(samples, generator, c)
        crops.append((pictures * 255).round().to(torch.uint8))
        votes.append(vote_for(truth))
    return torch.cat(crops), torch.cat(votes)


def draw_windows(samples: Samples, generator: torch.Generator, c: Config) -> tuple[Tensor, Window]:
    """Draw augmented crops (B, 3, 96, 96) and the windows around their true faces."""
    crops, landmarks = draw_crops(samples, generator, c)
    rotation, scale, _ = umeyama(landmarks, samples.canonical68)
    return crops, around(landmarks, rotation, scale, samples.face_size)


def evaluate_finder(net: FinderNet, held: Samples, c: Config) -> FinderScore:
    """Score a network on augmented samples, the same ones each time."""
    net.eval()
    generator = torch.Generator().manual_seed(5)
    rows = []
    for _ in range(_HELD):
        crops, truth = draw_windows(held, generator, replace(c, batch=64))
        with torch.no_grad():
            found = net.find(crops)
        cosine = (found.turn * truth.turn).sum((1, 2)) / 2
        rows.append(torch.stack([
            torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))),
            (found.zoom / truth.zoom).log().abs(),
            (found.centre - truth.centre).norm(dim=1),
        ], 1))  # fmt: skip
    return FinderScore(*torch.cat(rows).mean(0).tolist())


def load_finder(run: Path) -> FinderNet:
    """Load a run's averaged weights, in evaluation mode."""
    return load_averages(FinderNet(YuNet().eval()), run)
