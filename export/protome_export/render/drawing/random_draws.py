"""Draw random numbers for a batch of samples, each sample's from its own seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_COUNT = 4096


class Dice:
    """One row of uniform numbers per seed (Philox, Salmon et al. 2011), used column by column.

    Every sample uses the same columns whatever it needs, so the draws of a seed do not depend on
    its batch or device. All draws return float32 (or bool, int64) tensors (B, *shape); bounds may
    be tensors that broadcast to that shape.
    """

    def __init__(
        self, seeds: Sequence[int], stream: int, device: torch.device, count: int = _COUNT
    ) -> None:
        rows = [
            np.random.Generator(np.random.Philox(key=[seed, stream])).random(count, np.float32)
            for seed in seeds
        ]
        self.numbers = torch.from_numpy(np.stack(rows)).to(device)
        self.used = 0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def device(self) -> torch.device:
        return self.numbers.device

    @classmethod
    def thrown(cls, generator: torch.Generator, size: int, count: int) -> Dice:
        """Make dice for a batch whose samples have no seeds of their own."""
        out = cls.__new__(cls)
        device = generator.device
        out.numbers = torch.rand(size, count, generator=generator, device=device)
        out.used = 0
        return out

    @classmethod
    def joined(cls, parts: Sequence[Dice]) -> Dice:
        """Join unused dice of several streams into one batch."""
        out = cls.__new__(cls)
        out.numbers, out.used = torch.cat([p.numbers for p in parts]), 0
        return out

    def _take(self, shape: tuple[int, ...]) -> Tensor:
        n = math.prod(shape)
        if self.used + n > self.numbers.shape[1]:
            raise IndexError(f"dice used up: {self.used} + {n} of {self.numbers.shape[1]}")
        out = self.numbers[:, self.used : self.used + n]
        self.used += n
        return out.reshape(len(self), *shape)

    def uniform(self, low: float | Tensor = 0.0, high: float | Tensor = 1.0, *shape: int) -> Tensor:
        """Draw uniform numbers from low to high."""
        return low + self._take(shape) * (high - low)

    def normal(self, mean: float | Tensor = 0.0, sd: float | Tensor = 1.0, *shape: int) -> Tensor:
        # 24 bits, moved off 0 and 1, where the inverse is infinite.
        """Draw normal numbers of this mean and standard deviation."""
        centred = self._take(shape) * 2 - (1 - 2.0**-24)
        return mean + torch.erfinv(centred) * (2**0.5 * sd)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """Draw bools that are true with this probability."""
        return self._take(shape) < probability

    def pick(self, count: int | Tensor, *shape: int) -> Tensor:
        """Draw integers from 0 to count - 1."""
        return (self._take(shape) * count).long()

    def sign(self, *shape: int) -> Tensor:
        """Draw -1 or 1."""
        return self.chance(0.5, *shape).float() * 2 - 1
