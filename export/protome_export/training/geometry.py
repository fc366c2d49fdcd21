"""Pose from landmarks, in plain tensor operators (ONNX-ready)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from protome_export.heads.model import MIRROR68
from protome_export.render.drawing.paint import centres

CROP: Final = 192  # px: what the finder sees
# That is a part of the crop: its left and top in the crop, px.
FINDER_CORNER: Final = (8, 16)
# px: z of the nearest point of the posed mean head, and the least of the head's own (one with a
# long nose is moved back to it). What is in front is left to hair and hats.
NEAREST, LEAST = 16.0, 6.0
# The polar factor's iteration (`_polar`): steps, and the scale at which its polynomial is monic.
_STEPS: Final = 7
_SCALE: Final = 0.375**0.25


def umeyama(
    landmarks: Tensor, canonical: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a least-squares similarity (Umeyama 1991): landmarks = s R canonical + t.

    landmarks (B, 68, 3) px; canonical (68, 3) or (B, 68, 3) cm; weights (B, 68) of the squared
    distances, None: all the same. Returns rotation (B, 3, 3), scale (B,) px per cm, translation
    (B, 3) px.
    """
    canonical = canonical.expand_as(landmarks)
    if weights is None:
        weights = torch.ones_like(landmarks[..., 0])
    w = (weights / weights.sum(1, keepdim=True))[..., None]
    centre, middle = (w * landmarks).sum(1), (w * canonical).sum(1)
    own = canonical - middle[:, None]
    m = (landmarks - centre[:, None]).transpose(1, 2) @ (w * own)
    x = _polar(m)
    s = (x * m).sum((1, 2)) / (w * own.square()).sum((1, 2))
    t = centre - s[:, None] * (x @ middle[..., None])[..., 0]
    return x, s, t


def _polar(m: Tensor) -> Tensor:
    """Return the rotations nearest to m (B, 3, 3) by Newton-Schulz steps of order five.

    Higham, "Functions of Matrices", 2008, section 8.3: matrix products only, no SVD. Exact where
    no singular value is below 0.04 of the matrix's norm; a head's are above 0.1.
    """
    x = m * (1.5 * _SCALE / (m.square().sum((1, 2), keepdim=True).sqrt() + 1e-6))
    one = torch.eye(3, device=m.device)
    linear, constant = one * (1.25 / _SCALE**2), one * 1.875
    for _ in range(_STEPS):
        a = x.transpose(1, 2) @ x
        x = x @ (a @ (a - linear) + constant)
    return x * (1 / _SCALE)


@dataclass(frozen=True)
class Similarity:
    """Move B pictures in their plane, for augmentation: x to linear x + offset, px.

    Attributes:
        linear: (B, 2, 2).
        offset: (B, 2).
        zoom: (B,) the scale in ``linear``.
    """

    linear: Tensor
    offset: Tensor
    zoom: Tensor

    @classmethod
    def about(cls, middle: Tensor, angle: Tensor, zoom: Tensor, shift: Tensor) -> Similarity:
        """Turn by angle (B,) radians and zoom (B,) about middle (2,), then shift (B, 2)."""
        cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        linear = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
        return cls(linear, middle + shift - (linear @ middle), zoom)

    def points(self, points: Tensor) -> Tensor:
        """Move points (B, N, 3); z is zoomed."""
        return torch.cat(
            [points[..., :2] @ self.linear.transpose(1, 2) + self.offset[:, None],
             points[..., 2:] * self.zoom[:, None, None]], 2,
        )  # fmt: skip

    def grid(self, side: int, extent: float) -> Tensor:
        """Return the places, (B, side, side, 2) for `grid_sample`, that the moved pictures show.

        Args:
            side: places per side.
            extent: px of a side of the pictures.
        """
        at = centres(side, self.offset.device) * (extent / side)
        row, column = torch.meshgrid(at, at, indexing="ij")
        place = torch.stack([column, row], -1).view(1, -1, 2) - self.offset[:, None]
        back = torch.linalg.inv(self.linear).transpose(1, 2)
        grid: Tensor = (place @ back) * (2 / extent) - 1
        return grid.view(-1, side, side, 2)


def mirrored_landmarks(landmarks: Tensor, side: float) -> Tensor:
    """Return landmarks (B, 68, 3) px of the mirrored pictures, ``side`` px wide."""
    twins = torch.from_numpy(MIRROR68).to(landmarks.device)
    out = landmarks[:, twins] * torch.tensor([-1.0, 1.0, 1.0], device=landmarks.device)
    out[..., 0] += side
    return out
