"""Paint in batches: blurs and rescaling as matrices, and shapes by their distance.

Pictures are planar, (B, C, H, W) or (B, H, W); pixel centres lie at half integers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor


def centres(size: int, device: torch.device) -> Tensor:
    """Return the coordinates of pixel centres, (size,)."""
    return torch.arange(size, device=device) + 0.5


def mix(image: Tensor, colour: Tensor, weight: Tensor) -> Tensor:
    """Blend image (B, C, H, W) with colour (B, C) or (B, C, H, W) by weight (B, H, W)."""
    if colour.ndim == 2:
        colour = colour[:, :, None, None]
    return torch.lerp(image, colour.expand_as(image), weight[:, None].expand_as(image))


def resample(image: Tensor, down: Tensor, across: Tensor | None = None) -> Tensor:
    """Apply a matrix (B, S, H) or (S, H) to the columns of an image, and ``across`` to its rows."""
    across = down if across is None else across
    if image.ndim == 4 and down.ndim == 3:
        down, across = down[:, None], across[:, None]
    return torch.matmul(torch.matmul(down, image), across.transpose(-1, -2))


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


def gaussian(size: int, sigma: Tensor) -> Tensor:
    """Return Gaussian blurs (B, size, size) of sigma (B,) px; outside pixels do not count."""
    at = torch.arange(size, device=sigma.device, dtype=torch.float32)
    d = (at[:, None] - at[None]).square()
    return _normalised(torch.exp(d * (-0.5 / sigma.square().clamp(min=1e-6))[:, None, None]))


def area(count: Tensor, source: int, most: int) -> Tensor:
    """Return area averages (B, most, source) of source px to the first count (B,) cells."""
    step = source / count.float()[:, None, None]
    cell = torch.arange(most, device=count.device)[None, :, None]
    pixel = torch.arange(source, device=count.device)
    overlap = torch.minimum(pixel + 1, (cell + 1) * step) - torch.maximum(pixel, cell * step)
    return overlap.clamp(min=0) / step


def shrinking(source: int, target: int, device: torch.device) -> Tensor:
    """Return the area average from source to target px, (target, source)."""
    return area(torch.tensor([target], device=device), source, target)[0]


def _cubic(d: Tensor) -> Tensor:
    d = d.abs()
    near = (1.25 * d - 2.25) * d * d + 1
    far = ((-0.75 * d + 3.75) * d - 6) * d + 3
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def taps(
    position: Tensor, source: int, cubic: Tensor, last: Tensor | None = None, wrap: bool = False
) -> Tensor:
    """Return interpolation matrices (B, S, source).

    Args:
        position: (B, S) px, counted from the centre of the first.
        source: number of source px.
        cubic: (B,) cubic, else linear.
        last: (B,) index of the last px that exists.
        wrap: whether the row is a circle.
    """
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
    """Return matrices (B, size, size) that scale down to count (B,) px by area, and back."""
    low = area(count, size, size)
    position = centres(size, count.device) * (count[:, None] / size) - 0.5
    return taps(position, size, cubic, last=count - 1) @ low


def capsules(ends: Tensor, radius: Tensor, x: Tensor, y: Tensor, soft: Tensor) -> Tensor:
    """Return the coverage (B, H, W) of the union of thick segments.

    Args:
        ends: (B, K, 2, 2) xy, px.
        radius: (B, K) px.
        x: (W,) columns, px.
        y: (H,) rows, px.
        soft: (B,) width of the edge, px.
    """
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
    """Return the coverage (B, H, W) of rotated shapes.

    Args:
        centre: (B, 2) xy, px.
        half: (B, 2) half axes, px.
        angle: (B,) radians.
        kind: (B,) 0 ellipse, 1 box, 2 triangle.
        x: (W,) columns, px.
        y: (H,) rows, px.
    """
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
    """Return weighted sums (P, C) of rows (N, C); index and weights are (P, K)."""
    return fn.embedding_bag(index, rows, per_sample_weights=weights, mode="sum")


def window(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Return masks (B, size, size): rows low[:, 0] to high[:, 0] - 1, columns likewise.

    Args:
        low: (B, 2) first row and column, px.
        high: (B, 2) row and column after the last, px.
        size: px per side.
    """
    at = torch.arange(size, device=low.device)
    rows, columns = ((at >= low[:, k, None]) & (at < high[:, k, None]) for k in (0, 1))
    return rows[:, :, None] & columns[:, None]


def framed(image: Tensor, cut: Tensor) -> Tensor:
    """Add black borders of cut (B, 4) px (top, bottom, left, right) to image (B, C, S, S)."""
    size = image.shape[-1]
    return image * window(cut[:, ::2], size - cut[:, 1::2], size)[:, None]


def gamma(colour: Tensor) -> Tensor:
    """Convert display RGB, 0 to 1, to linear RGB (gamma 2.2)."""
    return colour.clamp(min=0) ** 2.2
