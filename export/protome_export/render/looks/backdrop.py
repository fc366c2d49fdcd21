"""Draw backgrounds: environment crops, gradients, noise and procedural clutter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import centres, gamma, gaussian, mix, patch, resample, taps
from protome_export.render.drawing.random_draws import Dice

from .assets import Assets

_PIECES = 24


def _environments(dice: Dice, assets: Assets, size: int) -> tuple[Tensor, ...]:
    """Draw crops of panoramas: index, rows and columns in panorama px, brightness."""
    height, width = assets.panoramas.shape[2:]
    which = dice.pick(len(assets.panoramas))
    span = dice.uniform(0.12, 0.5)
    side = (height * span).clamp(min=8)
    top = torch.minimum(dice.uniform(0.2, 0.8 - span * 0.6) * height, height - side)
    part = centres(size, dice.device)[None] / size * side[:, None] - 0.5
    rows = part + top[:, None]
    columns = (part + dice.uniform(0, width)[:, None]) % width
    columns = torch.where(dice.chance(0.5)[:, None], columns.flip(1), columns)
    return which, rows, columns, dice.uniform(0.4, 1.5)


def _clutter(dice: Dice, size: int, wanted: Tensor) -> Tensor:
    """Draw overlapping patches and stripes for the samples ``wanted`` (B,).

    Returns:
        (n, 3, size, size) display RGB, 0 to 1.
    """
    colours = dice.uniform(0, 1, _PIECES + 2, 3)[wanted]
    count = (4 + dice.pick(_PIECES - 3))[wanted]
    spread = dice.uniform(0.05, 0.5, _PIECES)[wanted] * size
    centre = dice.uniform(0, size, _PIECES, 2)[wanted]
    thin = dice.uniform(0.15, 1, _PIECES)[wanted]
    angle = dice.uniform(0, math.pi, _PIECES)[wanted]
    kind = dice.pick(3, _PIECES)[wanted]
    striped, period = dice.chance(0.4)[wanted], dice.uniform(6, 34)[wanted]
    slant, wide = dice.normal(0, 0.15)[wanted], dice.uniform(1, 5)[wanted]
    x = centres(size, dice.device)
    image = colours[:, 0, :, None, None].expand(-1, -1, size, size).clone()
    for k in range(_PIECES):
        at = torch.nonzero(count > k)[:, 0]
        half = torch.stack([spread[at, k], spread[at, k] * thin[at, k]], 1)
        piece = patch(centre[at, k], half, angle[at, k], kind[at, k], x, x)
        image[at] = mix(image[at], colours[at, k + 1], piece)
    at = torch.nonzero(striped)[:, 0]
    every, thick = period[at, None, None], wide[at, None, None]
    phase = (x + slant[at, None, None] * x[:, None]) % every
    lines = (thick / 2 - (phase - every / 2).abs() + 0.5).clamp(0, 1)
    image[at] = mix(image[at], colours[at, -1], lines)
    return image


def sample_backdrops(dice: Dice, assets: Assets, noise: NoiseBank, size: int) -> Tensor:
    """Draw backgrounds, (B, 3, size, size) linear RGB."""
    n, x = len(dice), centres(size, dice.device) / size - 0.5
    t = dice.uniform()
    first, second, third = dice.uniform(0, 1, 3, 3).unbind(1)
    smooth, medium = (noise.draw(dice, kind, size, size) for kind in ("smooth", "medium"))
    out = torch.empty(n, 3, size, size, device=dice.device)

    which, rows, columns, light = _environments(dice, assets, size)
    grainy = dice.uniform(0, 0.25) * dice.chance(0.35)
    at = torch.nonzero(t < 0.45)[:, 0]
    if len(at):
        cubic = torch.ones(len(at), dtype=torch.bool, device=dice.device)
        height, width = assets.panoramas.shape[2:]
        down = taps(rows[at], height, cubic)
        across = taps(columns[at], width, cubic, wrap=True)
        crop = resample(assets.panoramas[which[at]], down, across).clamp(0, 4)
        grain = medium[at] * grainy[at, None, None]
        out[at] = crop * light[at, None, None, None] * (1 + grain[:, None])

    angle = dice.uniform(0, 2 * math.pi)
    at = torch.nonzero((t >= 0.45) & (t < 0.55))[:, 0]
    c, s = torch.cos(angle[at])[:, None, None], torch.sin(angle[at])[:, None, None]
    weight = (x * c + x[:, None] * s + 0.5).clamp(0, 1)
    flat = first[at, :, None, None].expand(-1, -1, size, size)
    out[at] = gamma(mix(flat, second[at], weight))

    at = torch.nonzero((t >= 0.55) & (t < 0.72))[:, 0]
    flat = first[at, :, None, None].expand(-1, -1, size, size)
    clouds = mix(flat, second[at], (0.5 + 0.35 * smooth[at]).clamp(0, 1))
    detail = (medium[at] * 0.2).clamp(-0.5, 0.5)
    out[at] = gamma((clouds + detail[:, None] * third[at, :, None, None]).clamp(0, 1))

    at = torch.nonzero((t >= 0.72) & (t < 0.82))[:, 0]
    greys = torch.tensor([0.0, 0.02, 0.95, 1.0], device=dice.device)[dice.pick(4)]
    shade = torch.where(dice.chance(0.5)[:, None], first**1.5, greys[:, None])
    out[at] = shade[at, :, None, None].expand(-1, -1, size, size)

    at = torch.nonzero(t >= 0.82)[:, 0]
    out[at] = gamma(_clutter(dice, size, at))

    sigma, blurred = dice.uniform(0.35, 4.7), dice.chance(0.55)
    at = torch.nonzero(blurred)[:, 0]
    if len(at):
        out[at] = resample(out[at], gaussian(size, sigma[at]))
    return out.clamp(min=0)


def draw_shoulders(
    dice: Dice, noise: NoiseBank, canvas: Tensor, chin: Tensor, scale: Tensor
) -> Tensor:
    """Draw clothed shoulders below most chins.

    Args:
        dice: random numbers of B samples.
        noise: textures.
        canvas: (B, 3, S, S) linear RGB, the picture so far.
        chin: (B, 2) crop px.
        scale: (B,) px per cm.
    """
    size = canvas.shape[-1]
    x = chin[:, 0] + dice.normal(0, 1.5) * scale
    y = chin[:, 1] + scale * dice.uniform(3, 7)
    wide, fall = scale * dice.uniform(11, 22), scale * dice.uniform(2, 6)
    at = centres(size, dice.device)
    top = (y - 0.5 * scale)[:, None]
    slope = ((at - top) / (fall + 0.5 * scale)[:, None]).clamp(0, 1)
    beyond = ((at - top) / 200).clamp(0, 1)
    half = wide[:, None] * (0.35 + 0.65 * slope + 0.2 * beyond)
    inside = (half[:, :, None] - (at - x[:, None]).abs()[:, None] + 0.5).clamp(0, 1)
    mask = inside * (at - top + 0.5).clamp(0, 1)[:, :, None] * dice.chance(0.85)[:, None, None]
    colour = gamma(dice.uniform(0, 1, 3) * dice.uniform(0.2, 1)[:, None])
    colour = colour * dice.uniform(0.3, 0.9)[:, None]
    folds = noise.draw(dice, "smooth", size, size) * dice.uniform(0, 0.3)[:, None, None]
    return mix(canvas, colour[:, :, None, None] * (1 + folds[:, None]), mask)
