"""Draw things in front of the face: hands, objects, loose strands of hair."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from protome_export.render.drawing.paint import (
    capsules,
    centres,
    gamma,
    gaussian,
    mix,
    patch,
    resample,
)
from protome_export.render.drawing.random_draws import Dice

_STRANDS, _KNOTS = 13, 8


def _stamp(image: Tensor, mask: Tensor, colour: Tensor, light: Tensor) -> Tensor:
    """Blend a colour (B, 3) through a soft mask, shaded from one side so that it looks solid."""
    size = image.shape[-1]
    soft = resample(mask, gaussian(size, torch.full((len(mask),), 4.0, device=mask.device)))
    dy, dx = torch.gradient(soft, dim=(1, 2))
    slope = dx * torch.cos(light)[:, None, None] + dy * torch.sin(light)[:, None, None]
    relief = (1 + 9.6 * slope).clamp(0.3, 1.7)
    return mix(image, colour[:, :, None, None] * relief[:, None], mask)


def draw_hands(
    dice: Dice, image: Tensor, skin: Tensor, share: float = 0.09
) -> tuple[Tensor, Tensor]:
    """Draw a hand (capsule fingers and a palm) from a random side.

    Args:
        dice: random numbers of B samples.
        image: (B, 3, S, S) linear RGB.
        skin: (B, 3) linear RGB.
        share: of the samples with a hand.

    Returns:
        The image, and where the hands are, (B, S, S).
    """
    size = image.shape[-1]
    angle = dice.uniform(0, 2 * math.pi)
    inward = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    side = torch.stack([-inward[:, 1], inward[:, 0]], 1)
    tip = size / 2 + dice.normal(0, 0.14 * size, 2)
    tip = tip - inward * (size * dice.uniform(0.05, 0.3))[:, None]
    thick = size * dice.uniform(0.045, 0.075)
    length = size * dice.uniform(0.2, 0.32)
    knuckle = tip - inward * length[:, None]
    fingers = dice.pick(4) + 1
    shift = torch.arange(4, device=dice.device) - 1.5
    apart = side[:, None] * (thick[:, None] * 1.15 * shift)[..., None]
    end = tip[:, None] + apart + dice.normal(0, 2, 4, 2)
    end = end - inward[:, None] * (thick[:, None] * dice.uniform(0, 1.2, 4))[..., None]
    starts = knuckle[:, None] + apart * 0.9
    palm = knuckle - inward * length[:, None] * 0.8
    ends = torch.stack(
        [torch.cat([starts, knuckle[:, None]], 1), torch.cat([end, palm[:, None]], 1)], 2
    )
    shown = torch.arange(4, device=dice.device) < fingers[:, None]
    radius = torch.cat([torch.where(shown, thick[:, None] / 2, -9.0), thick[:, None] * 2.1], 1)
    tone, light = skin * dice.uniform(0.35, 0.9)[:, None], dice.uniform(0, 2 * math.pi)
    at = torch.nonzero(dice.chance(share))[:, 0]
    hidden = torch.zeros_like(image[:, 0])
    if len(at):
        x = centres(size, dice.device)
        hidden[at] = capsules(ends[at], radius[at], x, x, torch.full_like(light[at], 2.0))
        image[at] = _stamp(image[at], hidden[at], tone[at], light[at])
    return image, hidden


def draw_objects(dice: Dice, image: Tensor, share: float = 0.09) -> tuple[Tensor, Tensor]:
    """Draw an ellipse, a bar (microphone, pole) or a patch in a random colour.

    Returns:
        as `draw_hands`.
    """
    size = image.shape[-1]
    centre = dice.uniform(0.1 * size, 0.9 * size, 2)
    t, kind = dice.uniform(), dice.pick(2)
    half = torch.stack([dice.uniform(0.03, 0.16), dice.uniform(0.03, 0.22)], 1) * size
    away, wide = dice.normal(0, size, 2), dice.uniform(0.01, 0.06) * size
    angle, soft = dice.uniform(0, math.pi), dice.uniform(0.5, 2.5)
    colour, light = gamma(dice.uniform(0, 1, 3)), dice.uniform(0, 2 * math.pi)
    at = torch.nonzero(dice.chance(share))[:, 0]
    hidden = torch.zeros_like(image[:, 0])
    if not len(at):
        return image, hidden
    x = centres(size, dice.device)
    solid = torch.where(t < 0.35, 0, 1 + kind)
    mask = patch(centre[at], half[at], angle[at], solid[at], x, x)
    ends = torch.stack([centre, centre + away], 1)[at, None]
    bar = capsules(ends, wide[at, None], x, x, torch.ones_like(soft[at]))
    straight = ((t >= 0.35) & (t < 0.65))[at, None, None]
    hidden[at] = resample(torch.where(straight, bar, mask), gaussian(size, soft[at]))
    image[at] = _stamp(image[at], hidden[at], colour[at], light[at])
    return image, hidden


def draw_panels(
    dice: Dice, image: Tensor, cloth: Tensor, face: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Draw something large before the face: a phone, a book, a cloth, a cup, an arm.

    Args:
        dice: random numbers of B samples.
        image: (B, 3, S, S) linear RGB.
        cloth: (B, 3, S, S) linear RGB, what it shows if it is not of one colour.
        face: (B, 2) px, the middle of the face.
        share: of the samples with one.

    Returns:
        As `draw_hands`.
    """
    size = image.shape[-1]
    centre = face + dice.normal(0, 0.13 * size, 2)
    half = torch.exp(dice.uniform(math.log(0.05), math.log(0.32), 2)) * size
    angle, kind = dice.uniform(0, math.pi), dice.pick(2)
    band, away = dice.chance(0.3), dice.uniform(0, 2 * math.pi)
    wide, soft = dice.uniform(0.05, 0.17) * size, dice.uniform(0.4, 2)
    plain, light = dice.chance(0.5), dice.uniform(0, 2 * math.pi)
    colour = gamma(dice.uniform(0, 1, 3) * dice.uniform(0.1, 1)[:, None])
    solid, gloss = dice.chance(0.5), dice.uniform(0, 0.8)
    at = torch.nonzero(dice.chance(share))[:, 0]
    hidden = torch.zeros_like(image[:, 0])
    if not len(at):
        return image, hidden
    x = centres(size, dice.device)
    shape = patch(centre[at], half[at], angle[at], kind[at], x, x)
    step = torch.stack([torch.cos(away[at]), torch.sin(away[at])], 1) * size
    ends = torch.stack([centre[at] - step, centre[at] + step], 1)[:, None]
    strip = capsules(ends, wide[at, None], x, x, torch.ones_like(soft[at]))
    mask = torch.where(band[at, None, None], strip, shape)
    hidden[at] = mask = resample(mask, gaussian(size, soft[at]))
    # A sheen from one side to the other.
    along = x * torch.cos(light[at])[:, None] / size
    down = x * torch.sin(light[at])[:, None] / size
    sheen = 1 + gloss[at, None, None] * (along[:, None] + down[:, :, None])
    flat = colour[at, :, None, None].expand(-1, -1, size, size)
    shown = torch.where(plain[at, None, None, None], flat, cloth[at]) * sheen[:, None].clamp(0.2, 2)
    raised = _stamp(image[at], mask, colour[at], light[at])
    raised = torch.where((plain & solid)[at, None, None, None], raised, mix(image[at], shown, mask))
    image[at] = raised
    return image, hidden


def draw_strands(dice: Dice, image: Tensor, colour: Tensor, share: Tensor) -> Tensor:
    """Draw loose strands across the face, sometimes a thick lock.

    Args:
        dice: random numbers of B samples.
        image: (B, 3, S, S) linear RGB.
        colour: (B, 3) linear RGB.
        share: (B,) probability.
    """
    size = image.shape[-1]
    start = dice.uniform(0.1 * size, 0.9 * size, _STRANDS, 2)
    steps = dice.normal(0, 0.026 * size, _STRANDS, _KNOTS)
    drift = dice.normal(0, 0.015 * size, _STRANDS)[..., None]
    knots = start[..., :1] + torch.cumsum(steps + drift, -1)
    count, thick = 2 + dice.pick(_STRANDS - 1), dice.chance(0.3)
    lock, thin = dice.uniform(2, 6, _STRANDS), dice.uniform(0.5, 1, _STRANDS)
    radius = torch.where(thick[:, None], lock, thin)
    tone = dice.uniform(0.4, 1.2, _STRANDS)
    at = torch.nonzero(dice.chance(share))[:, 0]
    if not len(at):
        return image
    x = centres(size, dice.device)
    out, step = image[at], 0.073 * size
    for k in range(_STRANDS):
        # A strand falls: its column is a function of the row.
        along = (x - (start[at, k, 1:] - 0.3 * size)) / step
        inside = (along >= 0) & (along <= _KNOTS - 1) & (k < count[at])[:, None]
        low = along.clamp(0, _KNOTS - 1.001)
        i, w = low.long(), low % 1
        here = torch.gather(knots[at, k], 1, i)
        slope = torch.gather(knots[at, k], 1, i + 1) - here
        column = here + slope * w
        level = 1 / (1 + (slope / step).square()).sqrt()
        d = (x - column[..., None]).abs() * level[..., None]
        mask = (radius[at, k, None, None] - d + 0.5).clamp(0, 1) * inside[..., None]
        out = mix(out, colour[at] * tone[at, k, None], mask)
    image[at] = out
    return image
