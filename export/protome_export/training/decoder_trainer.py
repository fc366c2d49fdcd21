"""Train a decoder of the frozen trunk's maps: the loop that hair and covers share."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoint import averages, follow, write_checkpoint
from .config import Config, dump_config, learning_rate

_REFRESH = 60.0  # seconds between looks for new shards
Net = TypeVar("Net", bound=nn.Module)


class Samples(Protocol):
    """Samples of a folder of shards."""

    def refresh(self) -> int:
        """Load new shards; return the number of samples."""

    def __len__(self) -> int: ...


class DecoderTrainer(ABC, Generic[Net]):
    """Train one run in config.out: checkpoint.pt (averaged weights), config.toml.

    Args:
        config: batch, rates, minutes and augmentation.
        net: what to train, from ``config.init`` if that is set.
        samples: to train on.
    """

    def __init__(self, config: Config, net: Net, samples: Samples) -> None:
        self.c, self.out = config, Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        dump_config(config, self.out / "config.toml")
        self.net = net
        if config.init:
            self.net.load_state_dict(averages(Path(config.init))[0])
        self.ema = copy.deepcopy(self.net)
        self.samples = samples
        self.step = 0
        self._stopped = False

    @abstractmethod
    def losses(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the loss of the network on a new batch, and the part of it to print."""

    def stop(self) -> None:
        """End the run after the current step and write its checkpoint."""
        self._stopped = True

    def train(self) -> None:
        """Train until the run is over.

        Raises:
            FileNotFoundError: there are no shards.
        """
        c = self.c
        if not self.samples.refresh():
            raise FileNotFoundError(f"no shards in {c.shards}")
        optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay
        )
        generator = torch.Generator().manual_seed(c.seed)
        began = looked = time.monotonic()
        recent: list[float] = []
        while self.step < c.steps and not self._stopped:
            now = time.monotonic()
            if now - began >= 60 * c.minutes:
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(c, self.step, now - began) + 1e-6
            recent.append(self._advance(optimiser, generator))
            if now - looked > _REFRESH:
                self.samples.refresh()
                looked = now
            if self.step % 100 == 0:
                print(self.step, len(self.samples), f"{np.mean(recent[-100:]):.4f}", flush=True)
            if self.step % c.save_every == 0:
                self.save()
        self.save()

    def _advance(self, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> float:
        loss, shown = self.losses(generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        optimiser.step()
        self.step += 1
        keep = min(self.c.ema, self.step / (20 + self.step))
        follow(self.ema.state_dict(), self.net.state_dict(), keep)
        return float(shown.detach())

    def save(self) -> None:
        """Write the averaged weights, as FP16."""
        full = self.ema.state_dict()
        state = {k: v.half() if v.dtype.is_floating_point else v for k, v in full.items()}
        write_checkpoint({"ema": state, "step": self.step}, self.out)
