"""Draw G-buffers of a batch: numba on the CPU, one scatter per batch on other devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Floats, Ints
from protome_export.render.drawing.raster import NOTHING

from .drawing import raster

_TOGETHER = 32  # meshes scattered at once: bounds the memory for candidate pixels
_STEPS = 65536  # depth levels per pixel in the scatter
_ID_BITS = 24


@dataclass(frozen=True)
class GBuffer:
    """The nearest triangle (largest z) per pixel.

    Attributes:
        depth: (B, S, S) its z.
        ids: (B, S, S) int64, its index; -1 if there is none.
        bary: (B, S, S, 2) barycentric coordinates in it.
    """

    depth: Tensor
    ids: Tensor
    bary: Tensor


@dataclass(frozen=True)
class Cutout:
    """Transparency of triangles ``first`` to ``last - 1``.

    They show only where ``alpha`` (B, R, C) at their vertices' ``uv`` (V, 2) is positive.
    """

    alpha: Tensor
    uv: Floats
    first: int
    last: int


def draw(
    vertices: Tensor, triangles: Ints, drawn: Tensor, size: int, cutout: Cutout | None = None
) -> GBuffer:
    """Draw B meshes that share their triangles.

    Args:
        vertices: (B, V, 3) px, y down, z towards the camera.
        triangles: (T, 3).
        drawn: (B, T) which triangles to draw.
        size: S, px per side.
        cutout: transparent triangles.
    """
    if vertices.device.type == "cpu":
        return _draw_each(vertices, triangles, drawn, size, cutout)
    return scattered(vertices, triangles, drawn, size, cutout)


def depth_maps(vertices: Tensor, triangles: Ints, drawn: Tensor, size: int) -> Tensor:
    """Return the largest z per pixel, (B, S, S); NOTHING if no triangle covers it."""
    if vertices.device.type == "cpu":
        v, some = vertices.numpy(), drawn.numpy()
        maps = [raster.depth_map(v[b], triangles, size, some[b]) for b in range(len(v))]
        return torch.from_numpy(np.stack(maps))
    return scattered(vertices, triangles, drawn, size, None).depth


def _draw_each(
    vertices: Tensor, triangles: Ints, drawn: Tensor, size: int, cutout: Cutout | None
) -> GBuffer:
    rows = []
    for b in range(len(vertices)):
        cut = raster.SOLID
        if cutout is not None:
            alpha = cutout.alpha[b].numpy()
            cut = raster.Cutout(alpha, cutout.uv, cutout.first, cutout.last)
        rows.append(raster.gbuffer(vertices[b].numpy(), triangles, size, drawn[b].numpy(), cut))
    depth, ids, bary = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
    return GBuffer(depth, ids.long(), bary)


def scattered(
    vertices: Tensor, triangles: Ints, drawn: Tensor, size: int, cutout: Cutout | None
) -> GBuffer:
    """Do the same as `draw` with tensor operations only, on any device.

    Each pixel in each triangle's bounding box is a candidate; the nearest one that lies inside its
    triangle wins.
    """
    corners = torch.from_numpy(triangles.astype(np.int64)).to(vertices.device)
    parts = []
    for start in range(0, len(vertices), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        cut = cutout
        if cut is not None:
            cut = Cutout(cut.alpha[some], cut.uv, cut.first, cut.last)
        parts.append(_scatter(vertices[some], corners, drawn[some], size, cut))
    depth, ids, bary = (torch.cat(part) for part in zip(*parts, strict=True))
    return GBuffer(depth, ids, bary)


def _weights(corner: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return barycentric weights at (x, y) of triangles (..., 3, 3).

    In float64: neighbours must agree on which side of their edge a pixel lies.
    """
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = (c.unbind(-1) for c in corner.double().unbind(-2))
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    w1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
    w2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
    return 1 - w1 - w2, w1, w2


def _scatter(
    vertices: Tensor, triangles: Tensor, drawn: Tensor, size: int, cutout: Cutout | None
) -> tuple[Tensor, Tensor, Tensor]:
    n, t = len(vertices), len(triangles)
    corner = vertices[:, triangles]  # (n, T, 3, 3)
    xy = corner[..., :2]
    low = torch.ceil(xy.amin(2) - 0.5).clamp(min=0).long()
    high = torch.floor(xy.amax(2) - 0.5).clamp(max=size - 1).long()
    span = (high - low + 1).clamp(min=0)
    edge, other = xy[:, :, 1] - xy[:, :, 0], xy[:, :, 2] - xy[:, :, 0]
    area = edge[..., 0] * other[..., 1] - other[..., 0] * edge[..., 1]
    count = (span[..., 0] * span[..., 1] * (drawn & (area.abs() >= 1e-9))).flatten()
    owner = torch.repeat_interleave(torch.arange(n * t, device=count.device), count)
    first = torch.cumsum(count, 0) - count
    local = torch.arange(len(owner), device=count.device) - first[owner]
    wide = span[..., 0].flatten()[owner]
    column = low[..., 0].flatten()[owner] + local % wide
    row = low[..., 1].flatten()[owner] + torch.div(local, wide, rounding_mode="floor")
    mine = corner.view(n * t, 3, 3)[owner]
    w0, w1, w2 = _weights(mine, column + 0.5, row + 0.5)
    inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
    sample, triangle = torch.div(owner, t, rounding_mode="floor"), owner % t
    if cutout is not None:
        weights = torch.stack([w0, w1, w2], -1).float()
        inside &= _opaque(cutout, triangles, sample, triangle, weights)
    z = w0 * mine[:, 0, 2] + w1 * mine[:, 1, 2] + w2 * mine[:, 2, 2]
    key = (torch.round(z * _STEPS).long() << _ID_BITS) | triangle
    pixel = (sample * size + row) * size + column
    empty = -(1 << 62)
    best = torch.full((n * size * size,), empty, dtype=torch.long, device=key.device)
    best.scatter_reduce_(0, pixel[inside], key[inside], "amax")
    ids = torch.where(best > empty, best & ((1 << _ID_BITS) - 1), -1).view(n, size, size)
    depth, bary = _resolve(corner, ids, size)
    return depth, ids, bary


def _resolve(corner: Tensor, ids: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return depth (n, S, S) and bary (n, S, S, 2) of the triangles that won."""
    which = torch.arange(len(ids), device=ids.device)[:, None, None]
    mine = corner[which, ids.clamp(min=0)]
    at = torch.arange(size, device=ids.device) + 0.5
    w0, w1, w2 = _weights(mine, at, at[:, None])
    z = w0 * mine[..., 0, 2] + w1 * mine[..., 1, 2] + w2 * mine[..., 2, 2]
    there = ids >= 0
    bary = torch.where(there[..., None], torch.stack([w0, w1], -1), 0.0)
    return torch.where(there, z, NOTHING).float(), bary.float()


def _opaque(
    cutout: Cutout, triangles: Tensor, sample: Tensor, triangle: Tensor, weights: Tensor
) -> Tensor:
    rows, columns = cutout.alpha.shape[1:]
    uv = torch.from_numpy(cutout.uv).to(weights.device)
    tested = (triangle >= cutout.first) & (triangle < cutout.last)
    out = torch.ones_like(tested)
    at = torch.nonzero(tested)[:, 0]
    place = (uv[triangles[triangle[at]]] * weights[at, :, None]).sum(1)
    r = (place[:, 1] * rows).long().clamp(0, rows - 1)
    c = (place[:, 0] * columns).long().clamp(0, columns - 1)
    out[at] = cutout.alpha[sample[at], r, c] > 0
    return out
