"""Make masks and scarves as a sheet over the lower face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Floats, HeadModel, Ints
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import gamma, gaussian
from protome_export.render.drawing.random_draws import Dice

_ROWS, _COLUMNS = 41, 61
_TEXELS = 128
_ASIDE: Final = 95.0  # degrees around the head's axis that the sheet reaches to each side
_BELOW: Final = 6.0  # cm below the chin
_LIGHT_BLUE: Final = (0.62, 0.78, 0.9)


@dataclass
class Masks:
    """Masks of B heads.

    Attributes:
        worn: (B,).
        vertices: (B, V, 3) cm, head frame.
        alpha: (B, 128, 128) positive where there is cloth; rows go down.
        texture: (B, 3, 128, 128) albedo, linear RGB.
    """

    worn: Tensor
    vertices: Tensor
    alpha: Tensor
    texture: Tensor


class MaskShell:
    """A grid around the lower face, each node at the outermost vertex of the head near it.

    Attributes:
        triangles: (T, 3) of the grid's V nodes.
        uv: (V, 2) places in `Masks.alpha`, v down.
    """

    def __init__(self, head: HeadModel, device: torch.device) -> None:
        marks = head.landmarks_neutral
        self.top, self.bottom = float(marks[27, 1]), float(marks[8, 1]) - _BELOW
        self.marks = {k: float(marks[k, 1]) for k in (27, 30, 33, 57, 8)}
        azimuth = np.deg2rad(np.linspace(-_ASIDE, _ASIDE, _COLUMNS))
        height = np.linspace(self.top, self.bottom, _ROWS)
        axis = float(marks[[0, 16], 2].mean())
        self.index = torch.from_numpy(_outermost(head.neutral, azimuth, height, axis)).to(device)
        out = np.stack([np.sin(azimuth), np.zeros(_COLUMNS), np.cos(azimuth)], 1)
        out = np.tile(out, (_ROWS, 1)).astype(np.float32)
        self.out = torch.from_numpy(out).to(device)
        self.triangles = _grid()
        u, v = np.meshgrid(np.linspace(0, 1, _COLUMNS), np.linspace(0, 1, _ROWS))
        self.uv = np.stack([u.ravel(), v.ravel()], 1).astype(np.float32).clip(0, 0.9999)

    def sample(self, dice: Dice, noise: NoiseBank, vertices: Tensor, share: float) -> Masks:
        """Draw masks: three of five end at the chin, the others are scarves.

        Args:
            dice: random numbers of B samples.
            noise: textures.
            vertices: (B, N, 3) cm, head frame.
            share: of the heads that wear one.
        """
        worn, scarf = dice.chance(share), dice.chance(0.4)
        alpha = self._alpha(dice, scarf)
        return Masks(worn, self._placed(dice, vertices), alpha, self._texture(dice, noise, scarf))

    def _placed(self, dice: Dice, vertices: Tensor) -> Tensor:
        """Stretch the sheet over hollows, a little off the skin."""
        n = len(vertices)
        skin = vertices[:, self.index]
        grid = skin.view(n, _ROWS, _COLUMNS, 3)
        blur = [gaussian(k, dice.uniform(1.5, 4)) for k in (_ROWS, _COLUMNS)]
        taut = torch.einsum("brs,bstx->brtx", blur[0], grid)
        taut = torch.einsum("bct,brtx->brcx", blur[1], taut).reshape(n, -1, 3)
        rise = ((taut - skin) * self.out).sum(-1).clamp(min=0)
        rise = rise + dice.uniform(0.1, 0.7)[:, None]
        return skin + rise[..., None] * self.out

    def _alpha(self, dice: Dice, scarf: Tensor) -> Tensor:
        """Draw the upper and lower edge: over the nose, under it or, seldom, under the mouth."""
        m, place = self.marks, dice.uniform()
        over = dice.uniform(m[30], m[27] - 0.6)
        under = dice.uniform(m[33] - 0.6, m[33])
        chin = dice.uniform(m[8], m[57] - 0.4)
        middle = torch.where(place < 0.75, over, torch.where(place < 0.88, under, chin))
        u = torch.linspace(-1, 1, _TEXELS, device=dice.device)
        y = torch.linspace(self.top, self.bottom, _TEXELS, device=dice.device)[:, None]
        fall, bend = dice.uniform(0, 4)[:, None], dice.uniform(1, 2.5)[:, None]
        edge = middle[:, None] - fall * u.abs() ** bend + dice.uniform(-0.6, 0.6)[:, None] * u
        rise, power = dice.uniform(1.5, 6)[:, None], dice.uniform(1.2, 3)[:, None]
        end = (m[8] - dice.uniform(0.3, 2))[:, None] + rise * u.abs() ** power
        end = torch.where(scarf[:, None], torch.full_like(end, self.bottom - 1), end)
        wide = torch.where(scarf, 2.0, dice.uniform(0.55, 0.85))[:, None]
        alpha = torch.minimum(edge[:, None] - y, y - end[:, None])
        return torch.minimum(alpha, 4 * (wide - u.abs())[:, None])

    def _texture(self, dice: Dice, noise: NoiseBank, scarf: Tensor) -> Tensor:
        """Draw colours: mostly those of medical masks; pleats, or a pattern on scarves."""
        t, any_colour = dice.uniform()[:, None], dice.uniform(0, 1, 3)
        blue = torch.tensor(_LIGHT_BLUE, device=dice.device)
        grey = dice.uniform(0.8, 1)[:, None].expand(-1, 3)
        plain = torch.where(t < 0.35, blue, torch.where(t < 0.6, grey, any_colour))
        plain = torch.where((t > 0.6) & (t < 0.75), 0.12, plain)
        base = torch.where(scarf[:, None], any_colour, plain)
        v = torch.arange(_TEXELS, device=dice.device) / _TEXELS
        pleats = torch.cos(2 * math.pi * v * dice.uniform(8, 22)[:, None])
        depth = dice.uniform(0, 0.25) * dice.chance(0.6) * ~scarf
        folds = 1 - depth[:, None] * (pleats > 0.8)
        weave = noise.draw(dice, "fine", _TEXELS, _TEXELS) * dice.uniform(0, 0.05)[:, None, None]
        pattern = noise.draw(dice, "medium", _TEXELS, _TEXELS)
        loud = (dice.chance(0.5) & scarf) | dice.chance(0.1)
        other = dice.uniform(0, 1, 3)[:, :, None, None]
        some = (pattern > 0.4)[:, None] & loud[:, None, None, None]
        out = torch.where(some, other, base[:, :, None, None])
        return gamma(out * (folds[:, None, :, None] + weave[:, None]))


def _outermost(neutral: Floats, azimuth: np.ndarray, height: np.ndarray, axis: float) -> np.ndarray:
    """Return for each node, row by row, the vertex that lies furthest out near it."""
    x, z = neutral[:, 0], neutral[:, 2] - axis
    around, far = np.arctan2(x, z), np.hypot(x, z)
    out = np.empty((len(height), len(azimuth)), np.int64)
    for i, y in enumerate(height):
        for j, a in enumerate(azimuth):
            off = np.hypot((around - a) * far.clip(4), neutral[:, 1] - y)
            out[i, j] = (
                (off - 0.25 * far).argmin()
                if off.min() > 0.5
                else np.where(off < 0.5, far, -1).argmax()
            )
    return out.ravel()


def _grid() -> Ints:
    first = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    a, b, c, d = first[:-1, :-1], first[:-1, 1:], first[1:, :-1], first[1:, 1:]
    both = np.stack([a, c, b, b, c, d], -1)
    return both.reshape(-1, 3).astype(np.int32)
