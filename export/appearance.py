"""Looks a renderer does not have: what tells synthetic pictures from real ones is varied at
random, so that the network cannot lean on it.

Each function changes a share of the crops (B, 3, H, W) in 0..1, all drawn from one generator.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from .config import Config


def restyle(x: Tensor, rng: np.random.Generator, c: Config) -> Tensor:
    """What the scene and the film do: texture, tone, colour."""
    x = _filter(x, rng, c.filtered)
    return _colour(_tone(x, rng, c.toned), rng, c.coloured)


def recapture(x: Tensor, rng: np.random.Generator, c: Config) -> Tensor:
    """What scaling, sharpening and compression do to a picture on its way."""
    return _compress(_rescale(x, rng, c.rescaled), rng, c.compressed)


def _chosen(n: int, rng: np.random.Generator, share: float) -> NDArray[np.int64]:
    # No share draws nothing: runs without it are the ones they were.
    return np.flatnonzero(rng.random(n) < share) if share > 0 else np.zeros(0, np.int64)


def _filter(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Random convolutions mixed with the crop, its brightness and contrast kept: texture and
    local contrast change, shapes stay (Xu et al., "Robust and generalizable visual representation
    learning via random convolutions", ICLR 2021)."""
    out = x.clone()
    for b in _chosen(len(x), rng, share):
        k = int(rng.choice((1, 3, 5)))
        kernel = torch.from_numpy(rng.normal(0, 1, (3, 3, k, k))).float()
        padded = fn.pad(x[b : b + 1], (k // 2,) * 4, mode="replicate")
        y = fn.conv2d(padded, kernel)[0]
        own = x[b].mean((1, 2), keepdim=True), x[b].std((1, 2), keepdim=True)
        y = (y - y.mean((1, 2), keepdim=True)) / (y.std((1, 2), keepdim=True) + 1e-3)
        out[b] = torch.lerp(x[b], y * own[1] + own[0], float(rng.uniform(0.1, 0.5)))
    return out.clamp(0, 1)


def _tone(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Random rising curves, a little apart per channel: crushed shadows, burnt lights, films."""
    out = x.clone()
    for b in _chosen(len(x), rng, share):
        steps = np.exp(rng.normal(0, 0.5, (1, 4)) + rng.normal(0, 0.15, (3, 4)))
        curve = np.concatenate([np.zeros((3, 1)), steps.cumsum(1)], 1) / steps.sum(1, keepdims=True)
        low, high = rng.uniform(-0.06, 0.2), rng.uniform(0.8, 1.1)
        knots = torch.from_numpy(low + (high - low) * curve).float()
        at = x[b].clamp(0, 1) * 4
        k = at.long().clamp(max=3)
        left = knots.gather(1, k.flatten(1)).view_as(at)
        right = knots.gather(1, k.flatten(1) + 1).view_as(at)
        out[b] = torch.lerp(left, right, at - k)
    return out.clamp(0, 1)


def _colour(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Colours weaker or stronger than they are, with a part of each channel in the others."""
    out = x.clone()
    for b in _chosen(len(x), rng, share):
        grey = x[b].mean(0, keepdim=True)
        strong = torch.lerp(grey.expand_as(x[b]), x[b], float(rng.uniform(0.0, 1.5)))
        parts = np.eye(3) + rng.normal(0, 0.1, (3, 3))
        mix = torch.from_numpy(parts / parts.sum(1, keepdims=True)).float()
        out[b] = torch.einsum("ij,jhw->ihw", mix, strong)
    return out.clamp(0, 1)


def _rescale(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Few pixels, made many again, and sharpened edges with their halos."""
    out, (high, wide) = x.clone(), x.shape[-2:]
    for b in _chosen(len(x), rng, share):
        picture = np.ascontiguousarray(x[b].permute(1, 2, 0).numpy())
        if rng.random() < 0.6:
            part = float(np.exp(-rng.uniform(0.2, 1.2)))
            few = (int(wide * part), int(high * part))
            small = cv2.resize(picture, few, interpolation=cv2.INTER_AREA)
            back = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(3))]
            picture = cv2.resize(small, (wide, high), interpolation=back)
        if rng.random() < 0.6:
            soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.6, 2.0)))
            picture = picture + (picture - soft) * float(rng.uniform(0.2, 1.5))
        out[b] = torch.from_numpy(picture).permute(2, 0, 1)
    return out.clamp(0, 1)


def _compress(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """JPEG, down to qualities at which blocks are seen."""
    out = x.clone()
    for b in _chosen(len(x), rng, share):
        picture = np.ascontiguousarray((x[b].flip(0) * 255).round().byte().permute(1, 2, 0).numpy())
        quality = int(rng.integers(12, 75))
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        out[b] = torch.from_numpy(decoded).permute(2, 0, 1).flip(0).float() / 255
    return out
