"""Turn linear light into photos: exposure, tone, colour, blur, noise, borders, JPEG."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.render.drawing.jpeg import through_jpeg
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import (
    capsules,
    centres,
    coarsening,
    framed,
    gaussian,
    resample,
)
from protome_export.render.drawing.random_draws import Dice

_MOTION = 11  # px a side of the kernel


def _per(x: Tensor) -> Tensor:
    return x.view(len(x), -1, 1, 1)


def _expose(dice: Dice, image: Tensor, mask: Tensor, tone: Tensor) -> Tensor:
    size = image.shape[-1]
    middle = slice(size // 3, size * 3 // 4)
    inside = (mask[:, middle, middle] > 0.5).float()
    total = (image[:, :, middle, middle].mean(1) * inside).sum((1, 2))
    mean = torch.where(inside.sum((1, 2)) > 0, total / inside.sum((1, 2)).clamp(min=1), 0.2) + 1e-4
    target = dice.normal(0.27, 0.13).clamp(0.05, 0.75) * (0.5 + 0.5 * (tone / 0.35).clamp(max=1))
    image = image * _per(torch.where(dice.chance(0.9), target / mean, 1.0))
    image = torch.where(image > 0.8, 0.8 + 0.2 * torch.tanh((image - 0.8) / 0.2), image)
    return image.clamp(1e-6, 1) ** _per(1 / dice.uniform(1.8, 2.6))


def _grade(dice: Dice, image: Tensor) -> Tensor:
    contrast, lift = dice.uniform(0.7, 1.4), dice.normal(0, 0.045)
    some = dice.chance(0.7)
    contrast = torch.where(some, contrast, 1.0)
    image = image * _per(contrast) + _per(0.5 * (1 - contrast) + torch.where(some, lift, 0.0))
    cast = (1 + dice.normal(0, 0.11, 3)).clamp(0.6, 1.5)
    image = image * _per(torch.where(dice.chance(0.4)[:, None], cast, 1.0))
    grey = image.mean(1, keepdim=True)
    t, colour = dice.uniform(), dice.uniform(0.3, 1.5)
    colour = torch.where(t < 0.15, 0.0, torch.where(t < 0.6, colour, 1.0))
    image = grey + (image - grey) * _per(colour)
    sepia = (t < 0.15) & dice.chance(0.35)
    warm = torch.tensor([1, 0.87, 0.68], device=image.device)
    return (image * _per(torch.where(sepia[:, None], warm, 1.0))).clamp(0, 1)


def _soften(dice: Dice, image: Tensor) -> Tensor:
    size = image.shape[-1]
    t, sigma, cubic = dice.uniform(), dice.uniform(0.3, 1.8), dice.chance(0.5)
    small = (size * torch.exp(dice.uniform(math.log(0.16), math.log(0.9)))).long()
    angle, half = dice.uniform(0, math.pi), dice.uniform(1, 5)
    at = torch.nonzero(t < 0.28)[:, 0]
    if len(at):
        image[at] = resample(image[at], gaussian(size, sigma[at]))
    at = torch.nonzero((t >= 0.28) & (t < 0.5))[:, 0]
    if len(at):
        image[at] = resample(image[at], coarsening(size, small[at], cubic[at]))
    at = torch.nonzero((t >= 0.5) & (t < 0.57))[:, 0]
    if len(at):
        image[at] = _shaken(image[at], angle[at], half[at])
    return image


def _shaken(image: Tensor, angle: Tensor, half: Tensor) -> Tensor:
    n, _, size, _ = image.shape
    step = torch.stack([torch.cos(angle), torch.sin(angle)], 1) * half[:, None]
    middle = _MOTION / 2
    ends = torch.stack([middle - step, middle + step], 1)[:, None]
    x = centres(_MOTION, image.device)
    one = torch.ones(n, 1, device=image.device)
    kernel = capsules(ends, one / 2, x, x, one[:, 0])
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    pad = _MOTION // 2
    rows = fn.pad(image, (pad, pad, pad, pad), mode="reflect").view(1, n * 3, size + 2 * pad, -1)
    weights = kernel.repeat_interleave(3, 0)[:, None]
    return fn.conv2d(rows, weights, groups=n * 3).view(n, 3, size, size)


def _grain(dice: Dice, noise: NoiseBank, image: Tensor) -> Tensor:
    """Add film grain, or coloured sensor noise, to some of the pictures."""
    size = image.shape[-1]
    sigma = dice.uniform(0, 0.06) * dice.uniform() * dice.chance(0.6)
    film = noise.draw(dice, "fine", size, size)[:, None]
    channels = [noise.draw(dice, "white", size, size) for _ in range(3)]
    grain = torch.where(_per(dice.chance(0.4)), film, torch.stack(channels, 1))
    return image + grain * _per(sigma)


def _borders(dice: Dice, image: Tensor) -> Tensor:
    """Add black borders, as in crops that extend beyond the photo."""
    cut = (2 + dice.pick(43, 4)) * dice.chance(0.45, 4) * dice.chance(0.14)[:, None]
    return framed(image, cut)


def take_photos(dice: Dice, noise: NoiseBank, image: Tensor, mask: Tensor, tone: Tensor) -> Tensor:
    """Take a photo of each picture.

    Args:
        dice: random numbers of B samples.
        noise: textures.
        image: (B, 3, S, S) linear RGB.
        mask: (B, S, S) coverage of the head.
        tone: (B,) mean albedo of the head.

    Returns:
        (B, S, S, 3) uint8 RGB.
    """
    image = _soften(dice, _grade(dice, _expose(dice, image, mask, tone)))
    image = _borders(dice, _grain(dice, noise, image)).clamp(0, 1)
    quality, some = 18 + dice.pick(77), dice.chance(0.5)
    at = torch.nonzero(some)[:, 0]
    if len(at):
        image[at] = through_jpeg(image[at], quality[at].float())
    return (image * 255).to(torch.uint8).permute(0, 2, 3, 1)
