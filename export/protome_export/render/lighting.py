"""Light a batch of heads: an environment, a hard light and the shadow it casts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protome_export.heads.model import Ints
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.looks.assets import ROTATIONS, Assets

from .gbuffer import depth_maps
from .shading import Lights

_SHADOW = 160  # texels a side of a shadow map
_SPAN = 34.0  # cm that it covers
_BIAS = 0.35  # cm


@dataclass
class Casters:
    """Meshes that cast shadows.

    Attributes:
        vertices: (B, V, 3) G-buffer px.
        triangles: (T, 3).
        drawn: (B, T) which of them exist.
        middle: (B, 3) of the face, G-buffer px.
        scale: (B,) G-buffer px per cm.
    """

    vertices: Tensor
    triangles: Ints
    drawn: Tensor
    middle: Tensor
    scale: Tensor


def sample_lights(dice: Dice, assets: Assets, casters: Casters) -> Lights:
    """Draw the lights of B heads."""
    hard = dice.chance(0.35)
    ambient = torch.where(hard, dice.uniform(0.04, 0.3), dice.uniform(0.35, 1.0))
    which, turn = dice.pick(len(assets.harmonics)), dice.pick(ROTATIONS)
    harmonics = assets.harmonics[which, turn] * ambient[:, None, None]
    white = harmonics.mean(2, keepdim=True).expand(-1, -1, 3)  # neutralises a strong cast
    harmonics = torch.where(dice.chance(0.3)[:, None, None], white, harmonics)
    direction, colour = _direction(dice, assets, which, turn)
    strength = torch.where(hard, dice.uniform(0.5, 1.6), dice.uniform(0, 0.9))
    casts = dice.chance(torch.where(hard, 0.9, 0.6)) & (strength > 0.25)
    wrap = torch.where(hard, dice.uniform(0, 0.05), dice.uniform(0, 0.5))
    matrix = _to_shadow(direction, casters)
    slot = torch.where(casts, torch.cumsum(casts, 0) - 1, -1)
    at = torch.nonzero(casts)[:, 0]
    shadow = torch.zeros(0, _SHADOW, _SHADOW, device=dice.device)
    if len(at):
        m = matrix[at]
        seen = casters.vertices[at] @ m[:, :, :3].transpose(1, 2) + m[:, None, :, 3]
        shadow = depth_maps(seen, casters.triangles, casters.drawn[at], _SHADOW)
    lights = (harmonics, direction, colour * strength[:, None], wrap, shadow, slot, matrix)
    return Lights(*lights, bias=_BIAS * _SHADOW / _SPAN)


def _direction(dice: Dice, assets: Assets, which: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit direction and colour, (B, 3) each, of the hard light.

    It is the environment's sun, or a lamp anywhere, mostly in front.
    """
    sun = assets.suns[which, turn]
    x, y, z = (dice.normal(0, sd) for sd in (1.0, 0.8, 0.6))
    front = z.abs() * 0.9 + dice.uniform(0, 0.9)
    front = torch.where(dice.chance(0.12), -front, front)  # against the light
    lamp = torch.stack([x, y + 0.35, front], 1)
    tint = (1 + dice.normal(0, 0.12, 3)).clamp(0.5, 1.6)
    outdoors = dice.chance(0.3)[:, None]
    direction = torch.where(outdoors, sun[:, :3], lamp)
    colour = torch.where(outdoors, sun[:, 3:].clamp(min=0.2), tint)
    return direction / direction.norm(dim=1, keepdim=True), colour


def _to_shadow(direction: Tensor, casters: Casters) -> Tensor:
    """Return (B, 3, 4) from G-buffer (x, y, z) to shadow map (column, row, depth)."""
    flip = torch.tensor([1.0, -1.0, 1.0], device=direction.device)
    d = direction * flip
    up = torch.tensor([0.0, 1.0, 0.03], device=direction.device).expand_as(d)
    u = torch.linalg.cross(d, up)
    u = u / u.norm(dim=1, keepdim=True)
    rows = torch.stack([u, torch.linalg.cross(d, u), d], 1)
    rows = rows * (_SHADOW / (_SPAN * casters.scale))[:, None, None]
    back = torch.tensor([0.0, 0.0, 4.0], device=d.device) * casters.scale[:, None]
    middle = torch.tensor([_SHADOW / 2, _SHADOW / 2, 0], device=d.device)
    offset = middle - (rows @ (casters.middle - back)[..., None])[..., 0]
    return torch.cat([rows, offset[..., None]], 2)
