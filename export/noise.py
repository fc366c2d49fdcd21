"""A bank of fractal noise tiles, shared by textures, hair, backgrounds and cameras."""

from __future__ import annotations

import numpy as np

from .headmodel import Floats

_SIZE = 256


class NoiseBank:
    """Periodic unit-variance tiles with a power-law spectrum: smooth, medium and fine."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        f = np.hypot(np.fft.fftfreq(_SIZE)[:, None], np.fft.fftfreq(_SIZE)[None])
        f[0, 0] = 1

        def tiles(beta: float, count: int) -> Floats:
            white = rng.standard_normal((count, _SIZE, _SIZE))
            out = np.fft.ifft2(np.fft.fft2(white) / f**beta).real
            out -= out.mean((1, 2), keepdims=True)
            return np.asarray(out / out.std((1, 2), keepdims=True), np.float32)

        self.banks = {"smooth": tiles(1.6, 24), "medium": tiles(0.9, 24), "fine": tiles(0.2, 12)}

    def draw(self, rng: np.random.Generator, kind: str, size: int = _SIZE) -> Floats:
        """(size, size) crop of a random tile, shifted and perhaps mirrored; size <= 256."""
        bank = self.banks[kind]
        tile = bank[rng.integers(len(bank))]
        dy, dx = (int(v) for v in rng.integers(0, _SIZE, 2))
        rows = (np.arange(size) + dy) % _SIZE
        columns = (np.arange(size) + dx) % _SIZE
        if rng.random() < 0.5:
            columns = columns[::-1]
        return np.asarray(tile[rows[:, None], columns[None]], np.float32)
