"""Apply the losses of JPEG (ITU-T T.81, baseline, 4:2:0) in tensor code, without entropy coding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as fn
from torch import Tensor

# T.81 Annex K, tables K.1 and K.2.
_LUMINANCE = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]  # fmt: skip
_CHROMINANCE = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
]  # fmt: skip
# T.871 (JFIF): RGB to YCbCr.
_YCC = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]


def _dct(device: torch.device) -> Tensor:
    """Return the orthonormal DCT-II, (8, 8)."""
    k = torch.arange(8, device=device, dtype=torch.float32)
    out = torch.cos((2 * k[None] + 1) * k[:, None] * (math.pi / 16)) / 2
    out[0] /= math.sqrt(2)
    return out


def _quantised(plane: Tensor, table: Tensor, dct: Tensor) -> Tensor:
    """Quantise plane (B, H, W), levels about 0, with table (B, 8, 8)."""
    n, h, w = plane.shape
    blocks = plane.view(n, h // 8, 8, w // 8, 8).transpose(2, 3)
    table = table[:, None, None]
    levels = torch.round(dct @ blocks @ dct.T / table) * table
    return (dct.T @ levels @ dct).transpose(2, 3).reshape(n, h, w)


def through_jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Return pictures as a decoder returns them after saving as JPEG.

    Args:
        image: (B, 3, H, W), 0 to 1; sides are multiples of 16.
        quality: (B,) 1 to 100, on the scale of the Independent JPEG Group.
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]

    def table(values: list[int]) -> Tensor:
        base = torch.tensor(values, device=image.device, dtype=torch.float32).view(1, 8, 8)
        return torch.floor((base * scale + 50) / 100).clamp(1, 255)

    dct, ycc = _dct(image.device), torch.tensor(_YCC, device=image.device)
    levels = torch.round(image.clamp(0, 1) * 255)
    y, b, r = torch.einsum("kc,nchw->nkhw", ycc, levels).unbind(1)
    y = _quantised(y - 128, table(_LUMINANCE), dct) + 128
    coarse = table(_CHROMINANCE)
    small = [_quantised(fn.avg_pool2d(p[:, None], 2)[:, 0], coarse, dct) for p in (b, r)]
    chroma = fn.interpolate(torch.stack(small, 1), scale_factor=2.0, mode="bilinear")
    planes = torch.cat([y[:, None], chroma], 1)
    rgb = torch.einsum("ck,nkhw->nchw", torch.linalg.inv(ycc), planes)
    return torch.round(rgb).clamp(0, 255) / 255
