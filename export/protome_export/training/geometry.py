"""Pose from landmarks, in plain tensor operators (ONNX-ready)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

CROP: Final = 192  # px: what the finder sees
# That is a part of the crop: its left and top in the crop, px.
FINDER_CORNER: Final = (8, 16)
# px: z of the nearest point of the posed mean head, and the least of the head's own (one with a
# long nose is moved back to it). What is in front is left to hair and hats.
NEAREST, LEAST = 16.0, 6.0


def umeyama(
    landmarks: Tensor, canonical: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a least-squares similarity (Umeyama 1991): landmarks = s R canonical + t.

    landmarks (B, 68, 3) px; canonical (68, 3) or (B, 68, 3) cm; weights (B, 68) of the squared
    distances, None: all the same. Returns rotation (B, 3, 3), scale (B,) px per cm, translation
    (B, 3) px. The polar factor comes from Newton-Schulz steps on the covariance: matrix products
    only, no SVD.
    """
    canonical = canonical.expand_as(landmarks)
    if weights is None:
        weights = torch.ones_like(landmarks[..., 0])
    w = (weights / weights.sum(1, keepdim=True))[..., None]
    centre, middle = (w * landmarks).sum(1), (w * canonical).sum(1)
    own = canonical - middle[:, None]
    m = (landmarks - centre[:, None]).transpose(1, 2) @ (w * own)
    x = m / (m.square().sum((1, 2)).sqrt()[:, None, None] + 1e-6) * 1.7
    for _ in range(14):
        x = 1.5 * x - 0.5 * x @ (x.transpose(1, 2) @ x)
    s = (x * m).sum((1, 2)) / (w * own.square()).sum((1, 2))
    t = centre - s[:, None] * (x @ middle[..., None])[..., 0]
    return x, s, t
