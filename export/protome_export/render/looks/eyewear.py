"""Make glasses and sunglasses as thin meshes placed on the head's landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Ints
from protome_export.render.drawing.random_draws import Dice

GLASSES = 0.24  # share of the heads that wear some
_SEGMENTS = 24
_PER_SIDE = 2 * _SEGMENTS + 5
COUNT = 2 * _PER_SIDE + 4  # vertices of one pair


def _topology() -> tuple[Ints, Ints]:
    frame: list[list[int]] = []
    lens: list[list[int]] = []
    n = _SEGMENTS
    for o in (0, _PER_SIDE):
        for i in range(n):
            j = (i + 1) % n
            frame += [[o + i, o + n + i, o + n + j], [o + i, o + n + j, o + j]]
            lens.append([o + 2 * n, o + i, o + j])
        a = o + 2 * n + 1
        frame += [[a, a + 1, a + 2], [a + 1, a + 3, a + 2]]
    o = 2 * _PER_SIDE
    frame += [[o, o + 1, o + 2], [o + 1, o + 3, o + 2]]
    return np.array(frame, np.int32), np.array(lens, np.int32)


FRAME_TRIANGLES, LENS_TRIANGLES = _topology()


@dataclass
class Glasses:
    """Glasses of B heads.

    Attributes:
        vertices: (B, COUNT, 3) cm, head frame.
        worn, dark: (B,).
    """

    vertices: Tensor
    worn: Tensor
    dark: Tensor


def sample_glasses(dice: Dice, landmarks: Tensor, share: float = GLASSES) -> Glasses:
    """Draw glasses.

    Args:
        dice: random numbers of B samples.
        landmarks: (B, 68, 3) cm, head frame.
        share: of the heads that wear glasses.
    """
    worn, dark = dice.chance(share), dice.chance(0.5)
    eye_r, eye_l = landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)
    middle = (eye_r + eye_l) / 2
    m = middle[:, 0]
    apart = (eye_l[:, 0] - eye_r[:, 0]) / 2
    width = apart * dice.uniform(0.68, 0.9) * torch.where(dark, 1.05, 1.0)
    width = torch.minimum(width, apart - 0.25)
    height = dice.uniform(1.4, 2.3) * torch.where(dark, 1.25, 1.0)
    power, rim = dice.uniform(2, 5), dice.uniform(0.1, 0.45)
    y = middle[:, 1] + dice.uniform(-0.6, 0.25)
    nearest = torch.maximum(landmarks[:, 27, 2], landmarks[:, 36:48, 2].amax(1))
    front, bend = nearest + dice.uniform(0.5, 1.4), dice.uniform(0.03, 0.06)
    angle = torch.arange(_SEGMENTS, device=dice.device) * (2 * math.pi / _SEGMENTS)
    c, s = torch.cos(angle), torch.sin(angle)
    round_x = torch.sign(c) * c.abs() ** (2 / power[:, None])
    round_y = torch.sign(s) * s.abs() ** (2 / power[:, None])

    def points(x: Tensor, y: Tensor) -> Tensor:
        z = front[:, None] - bend[:, None] * (x - m[:, None]).square()
        return torch.stack([x, y, z], -1)

    parts: list[Tensor] = []
    for side, ear in ((-1.0, landmarks[:, 0]), (1.0, landmarks[:, 16])):
        x0 = m + side * apart
        for ring in (0, 1):
            x = x0[:, None] + (width + rim * ring)[:, None] * round_x
            parts.append(points(x, y[:, None] + (height + rim * ring)[:, None] * round_y))
        parts.append(points(x0[:, None], y[:, None]))
        thick = dark & dice.chance(0.3)
        arm = dice.uniform(0.15, 0.5) * torch.where(thick, 1.6, 1.0)
        top = y + (height * 0.7).clamp(max=0.8)
        hinge = (x0 + side * width)[:, None].expand(-1, 2)
        parts.append(points(hinge, torch.stack([top, top - arm], 1)))
        reach = ear + torch.tensor([side * 0.9, 1.3, -1.6], device=dice.device)
        lower = reach - torch.stack([torch.zeros_like(arm), arm, torch.zeros_like(arm)], 1)
        parts.append(torch.stack([reach, lower], 1))
    gap = apart - width + 0.1
    for x in (m - gap, m + gap):
        upper = torch.stack([x, y + 0.6, front], 1)
        lower = torch.stack([x, y + 0.6 - rim, front], 1)
        parts.append(torch.stack([upper, lower], 1))
    return Glasses(torch.cat(parts, 1), worn, dark)
