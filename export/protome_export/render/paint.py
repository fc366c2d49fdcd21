"""Batched painting: blurs and rescalings as matrices, and shapes by their distance.

Pictures are planar, (B, C, H, W) or (B, H, W); pixel centres lie at half integers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor


def centres(size: int, device: torch.device) -> Tensor:
    """(size,) coordinates of pixel centres."""
    return torch.arange(size, device=device) + 0.5


def mix(image: Tensor, colour: Tensor, weight: Tensor) -> Tensor:
    """image (B, C, H, W) moved towards colour (B, C) or (B, C, H, W) by weight (B, H, W)."""
    if colour.ndim == 2:
        colour = colour[:, :, None, None]
    return torch.lerp(image, colour.expand_as(image), weight[:, None].expand_as(image))


def resample(image: Tensor, down: Tensor, across: Tensor | None = None) -> Tensor:
    """Applies a matrix (B, S, H) or (S, H) down the columns and ``across`` along the rows."""
    across = down if across is None else across
    if image.ndim == 4 and down.ndim == 3:
        down, across = down[:, None], across[:, None]
    return torch.matmul(torch.matmul(down, image), across.transpose(-1, -2))


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


def gaussian(size: int, sigma: Tensor) -> Tensor:
    """(B, size, size) Gaussian blurs of sigma (B,) px; what lies outside does not count."""
    at = torch.arange(size, device=sigma.device, dtype=torch.float32)
    d = (at[:, None] - at[None]).square()
    return _normalised(torch.exp(d * (-0.5 / sigma.square().clamp(min=1e-6))[:, None, None]))


def area(count: Tensor, source: int, most: int) -> Tensor:
    """(B, most, source) area averages of source px to the first count (B,) cells."""
    step = source / count.float()[:, None, None]
    cell = torch.arange(most, device=count.device)[None, :, None]
    pixel = torch.arange(source, device=count.device)
    overlap = torch.minimum(pixel + 1, (cell + 1) * step) - torch.maximum(pixel, cell * step)
    return overlap.clamp(min=0) / step


def shrinking(source: int, target: int, device: torch.device) -> Tensor:
    """(target, source): area average."""
    return area(torch.tensor([target], device=device), source, target)[0]


def _cubic(d: Tensor) -> Tensor:
    d = d.abs()
    near = (1.25 * d - 2.25) * d * d + 1
    far = ((-0.75 * d + 3.75) * d - 6) * d + 3
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def taps(
    position: Tensor, source: int, cubic: Tensor, last: Tensor | None = None, wrap: bool = False
) -> Tensor:
    """(B, S, source) interpolation of source px at position (B, S) counted from the centre of the
    first; cubic (B,) or linear; only px up to last (B,) are there; wrap: the row is a circle."""
    at = torch.arange(source, device=position.device)
    if not wrap:
        position = position.clamp(0, source - 1)
        if last is not None:
            position = torch.minimum(position, last[:, None])
    d = position[..., None] - at
    if wrap:
        d = d - source * torch.round(d / source)
    weights = torch.where(cubic[:, None, None], _cubic(d), (1 - d.abs()).clamp(min=0))
    if last is not None:
        weights = weights * (at <= last[:, None])[:, None]
    return _normalised(weights)


def coarsening(size: int, count: Tensor, cubic: Tensor) -> Tensor:
    """(B, size, size): to count (B,) px a side by area and back by interpolation."""
    low = area(count, size, size)
    position = centres(size, count.device) * (count[:, None] / size) - 0.5
    return taps(position, size, cubic, last=count - 1) @ low


def capsules(ends: Tensor, radius: Tensor, x: Tensor, y: Tensor, soft: Tensor) -> Tensor:
    """(B, H, W) coverage of the union of segments: ends (B, K, 2, 2) xy, radius (B, K) px, at
    columns x (W,) and rows y (H,); soft (B,) px is the width of the edge."""
    out = torch.zeros(len(ends), len(y), len(x), device=ends.device)
    a, b = ends[:, :, 0], ends[:, :, 1]
    along = b - a
    square = along.square().sum(-1).clamp(min=1e-6)
    for k in range(ends.shape[1]):
        dx, dy = x - a[:, k, :1], y - a[:, k, 1:]
        w = (dx * along[:, k, :1])[:, None] + (dy * along[:, k, 1:])[:, :, None]
        w = (w / square[:, k, None, None]).clamp(0, 1)
        fx = dx[:, None] - w * along[:, k, 0, None, None]
        fy = dy[:, :, None] - w * along[:, k, 1, None, None]
        d = (fx.square() + fy.square()).sqrt_()
        out = torch.maximum(out, (radius[:, k, None, None] - d) / soft[:, None, None] + 0.5)
    return out.clamp(0, 1)


def patch(
    centre: Tensor, half: Tensor, angle: Tensor, kind: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """(B, H, W) coverage of turned ellipses (kind 0), boxes (1) and triangles (2): centre (B, 2)
    xy, half (B, 2) axes, angle (B,) radians, at columns x (W,) and rows y (H,)."""
    c, s = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    dx, dy = x - centre[:, :1], y - centre[:, 1:]
    u = ((c * dx)[:, None] + (s * dy)[:, :, None]) / half[:, :1, None]
    v = ((c * dy)[:, :, None] - (s * dx)[:, None]) / half[:, 1:, None]
    kind = kind[:, None, None]
    box = torch.maximum(u.abs(), v.abs())
    triangle = torch.maximum(-v, 0.5 * v + u.abs())
    d = torch.where(kind == 0, torch.hypot(u, v), torch.where(kind == 1, box, triangle))
    return ((1 - d) * half.amin(1)[:, None, None] + 0.5).clamp(0, 1)


def blended(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums (P, C) of rows (N, C): index and weights (P, K)."""
    return fn.embedding_bag(index, rows, per_sample_weights=weights, mode="sum")


def window(low: Tensor, high: Tensor, size: int) -> Tensor:
    """(B, size, size) bool: rows low[:, 0] ... high[:, 0] - 1 of columns low[:, 1] ...; low and
    high (B, 2)."""
    at = torch.arange(size, device=low.device)
    rows, columns = ((at >= low[:, k, None]) & (at < high[:, k, None]) for k in (0, 1))
    return rows[:, :, None] & columns[:, None]


def framed(image: Tensor, cut: Tensor) -> Tensor:
    """image (B, C, S, S) with black borders of cut (B, 4) px: top, bottom, left, right."""
    size = image.shape[-1]
    return image * window(cut[:, ::2], size - cut[:, 1::2], size)[:, None]


def gamma(colour: Tensor) -> Tensor:
    """Display RGB 0..1 to linear (gamma 2.2)."""
    return colour.clamp(min=0) ** 2.2
