"""Make a bank of fractal noise tiles, shared by textures, hair, backgrounds and cameras."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .random_draws import Dice

SIZE = 256


class NoiseBank:
    """Periodic unit-variance tiles with a power-law spectrum: smooth, medium, fine, white."""

    def __init__(self, device: torch.device, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None])
        f[0, 0] = 1

        def tiles(beta: float, count: int) -> Tensor:
            spectrum = rng.standard_normal((count, SIZE, SIZE))
            out = np.fft.ifft2(np.fft.fft2(spectrum) / f**beta).real
            out -= out.mean((1, 2), keepdims=True)
            out /= out.std((1, 2), keepdims=True)
            both = np.concatenate([out, out[..., ::-1]]).astype(np.float32)
            return torch.from_numpy(np.concatenate([both, both], 2)).to(device)

        # Each tile and its mirror image, twice side by side: any run of columns is contiguous.
        self.banks = {
            "smooth": tiles(1.6, 24), "medium": tiles(0.9, 24), "fine": tiles(0.2, 12),
            "white": tiles(0.0, 12),
        }  # fmt: skip

    def draw(self, dice: Dice, kind: str, rows: int = SIZE, columns: int = SIZE) -> Tensor:
        """Return shifted or mirrored crops of random tiles, (B, rows, columns), at most 256."""
        bank = self.banks[kind]
        tile, dy, dx = dice.pick(len(bank)), dice.pick(SIZE), dice.pick(SIZE)
        row = (torch.arange(rows, device=dice.device) + dy[:, None]) % SIZE
        return bank.unfold(2, columns, 1)[tile[:, None], row, dx[:, None]]
