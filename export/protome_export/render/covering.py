"""Put lenses and masks over rendered faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Ints
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import blended, gamma, mix
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.view import SIZE, View
from protome_export.render.looks.eyewear import Glasses
from protome_export.render.looks.masks import Masks, MaskShell

from .gbuffer import Cutout, GBuffer, depth_maps, draw
from .shading import Fragments, Lights, Materials, shade
from .surfaces import HAIR

# Opacities, in linear light, up to which a lens hides nothing and from which it hides all.
_CLEAR, _OPAQUE = 0.3, 0.7


def put_lenses(
    dice: Dice,
    noise: NoiseBank,
    glasses: Glasses,
    lens: Ints,
    pixels: Tensor,
    depth: Tensor,
    light: Tensor,
    cover: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Put lenses over light (B, 3, S, S) that is already multiplied by cover (B, S, S).

    Returns:
        Light, cover, and how much of what is behind them dark lenses hide, (B, S, S).
    """
    dark = glasses.dark
    opacity = torch.where(dark, dice.uniform(0.6, 1.0), dice.uniform(0, 0.25))
    graded = dark & dice.chance(0.4)  # or a reflection
    cloud = noise.draw(dice, "smooth")
    top = torch.where(dark, 0.3, 1.0)[:, None]
    grey = dice.uniform()[:, None].expand(-1, 3)
    tint = gamma(torch.where(dice.chance(0.5)[:, None], dice.uniform(0, 1, 3), grey) * top)
    hidden = torch.zeros_like(cover)
    at = torch.nonzero(glasses.worn)[:, 0]
    if not len(at):
        return light, cover, hidden
    there = torch.ones(len(at), len(lens), dtype=torch.bool, device=light.device)
    near = depth_maps(pixels[at], lens, there, SIZE)
    weight = (near > depth[at]) * opacity[at, None, None]
    rows = torch.arange(SIZE, device=light.device) * 256 // SIZE
    smooth = (1 + 0.25 * cloud[at][:, rows][:, :, rows]).clamp(0.3, 1)
    weight = weight * torch.where(graded[at, None, None], smooth, 1.0)
    light[at] = mix(light[at], tint[at], weight)
    cover[at] = cover[at] + (1 - cover[at]) * weight
    hidden[at] = ((weight - _CLEAR) / (_OPAQUE - _CLEAR)).clamp(0, 1)
    return light, cover, hidden


def put_masks(
    masks: Masks,
    shell: MaskShell,
    view: View,
    buffer: GBuffer,
    light: Tensor,
    cover: Tensor,
    materials: Materials,
    lights: Lights,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw masks over light (B, 3, S, S) and cover (B, S, S) of heads, where they lie in front.

    Returns:
        Light, cover, and where there is a mask, (B, S, S).
    """
    turned = view.turn(masks.vertices)
    drawn = masks.worn[:, None].expand(-1, len(shell.triangles))
    cut = Cutout(masks.alpha, shell.uv, 0, len(shell.triangles))
    own = draw(view.to_pixels(turned).contiguous(), shell.triangles, drawn.contiguous(), SIZE, cut)
    seen = (own.ids >= 0) & (own.depth > buffer.depth)
    at = torch.nonzero(seen.view(-1))[:, 0]
    if not len(at):
        return light, cover, torch.zeros_like(cover)
    n, area = len(light), SIZE * SIZE
    head, place = torch.div(at, area, rounding_mode="floor"), at % area
    corners = torch.from_numpy(shell.triangles.astype(np.int64)).to(light.device)
    corner = corners[own.ids.view(-1)[at]]
    bary = own.bary.view(-1, 2)[at]
    weights = torch.cat([bary, 1 - bary.sum(1, keepdim=True)], 1)
    rows = _normals(turned, corners).reshape(-1, 3)
    normal = blended(rows, corner + (head * turned.shape[1])[:, None], weights)
    normal = normal / (normal.norm(dim=1, keepdim=True) + 1e-9)
    column, row = place % SIZE, torch.div(place, SIZE, rounding_mode="floor")
    fragments = Fragments(
        head=head,
        count=torch.bincount(head, minlength=n).tolist(),
        kind=torch.full_like(head, HAIR),
        uv=blended(torch.from_numpy(shell.uv).to(light.device), corner, weights),
        normal=normal,
        ao=torch.ones(len(at), device=light.device),
        height=torch.full((len(at),), 99.0, device=light.device),
        position=torch.stack([column + 0.5, row + 0.5, own.depth.view(-1)[at]], 1),
    )
    planes = light.permute(0, 2, 3, 1).reshape(-1, 3)
    planes[at] = shade(fragments, replace(materials, hair=masks.texture), lights)
    light = planes.view(n, SIZE, SIZE, 3).permute(0, 3, 1, 2)
    return light, torch.where(seen, 1.0, cover), seen.float()


def _normals(turned: Tensor, corners: Tensor) -> Tensor:
    """Return (B, V, 3) sums of the area vectors of the triangles around each vertex."""
    a, b, c = (turned[:, corners[:, k]] for k in range(3))
    faces = torch.linalg.cross(b - a, c - a)
    out = torch.zeros_like(turned)
    for k in range(3):
        out.index_add_(1, corners[:, k], faces)
    return out
