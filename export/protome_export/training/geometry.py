"""Pose from landmarks and occupancy from a posed mesh, in plain tensor operators (ONNX-ready)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

DEPTH, GRID, CROP = 100, 96, 192
# The finder sees a part of the crop: its left and top in the crop, px.
FINDER_CORNER = (8, 16)
# px of the volume's depth: where the nearest point of the posed mean head lies, and the least at
# which the head's own may (one with a long nose is moved back to it).
NEAREST, LEAST = 4.0, 1.0


@dataclass(frozen=True)
class Grid:
    """Describe a volume over the crop: size columns and rows of column px, depth slices of slice
    px. Triangles are split into pieces of at most piece px before they are scattered; sharpness 1
    spreads a piece over columns linearly, more spreads it less."""

    size: int
    depth: int
    column: float
    slice: float
    piece: float
    sharpness: float


# Measured on photos: sharpness 2 is as near to the surface, and ripples on cheeks; FINE, which is
# as near as the mesh itself, gains nothing by it.
STANDARD = Grid(GRID, DEPTH, 2.0, 1.0, 2.6, 1.5)
FINE = Grid(2 * GRID, 2 * DEPTH, 1.0, 0.5, 1.5, 1.0)


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


class Voxeliser(nn.Module):
    """Compute the occupancy of a closed, posed mesh by the flux of its surface.

    The occupancy's derivative along z is minus the surface's projected, signed area, so
    scattering that area into voxels and summing along z fills the solid. Triangles are split
    into pieces first (by their size on the mean head at 6.2 px a cm); each piece is spread over
    its 2x2 nearest columns and 2 nearest slices, so iso-surfaces are sub-voxel. STANDARD's columns
    are spread less than linearly: lips and nose keep their edges. What rounding leaves of a
    column's flux, which sums to zero if the mesh is closed, is taken from all its crossings:
    columns end empty, without spikes behind the head.
    """

    corners: Tensor

    def __init__(self, mean: np.ndarray, triangles: np.ndarray, grid: Grid = STANDARD) -> None:
        super().__init__()
        self.grid = grid
        edges = mean[triangles] - mean[triangles[:, [1, 2, 0]]]
        longest = np.linalg.norm(edges, axis=-1).max(1) * 6.2
        level = np.clip(np.ceil(longest / grid.piece), 1, 12).astype(int)
        self.levels = sorted(set(level.tolist()))
        for k in self.levels:
            chosen = torch.from_numpy(triangles[level == k].astype(np.int64))
            self.register_buffer(f"chosen{k}", chosen.t().contiguous())
            self.register_buffer(f"weights{k}", torch.from_numpy(_split(k)))
        side = grid.size + 2
        steps = [(z * side + y) * side + x for z in (0, 1) for y in (0, 1) for x in (0, 1)]
        self.register_buffer("corners", torch.tensor(steps)[:, None])
        self.mean, self.triangles = mean, triangles

    def at(self, grid: Grid) -> Voxeliser:
        """Return a voxeliser of the same mesh over another grid."""
        return Voxeliser(self.mean, self.triangles, grid)

    def pieces(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Split a mesh, vertices (B, N, 3) px, into pieces: centres (B, P, 3) px and projected
        areas (B, P) in columns, positive where the surface faces the camera."""
        # Sizes are spelt out: ONNX infers none of a batch without rows.
        batch, centres, areas = vertices.shape[0], [], []
        for k in self.levels:
            chosen, weights = getattr(self, f"chosen{k}"), getattr(self, f"weights{k}")
            a, b, c = (vertices[:, chosen[i]] for i in range(3))
            u, v = b - a, c - a
            column = 0.5 / self.grid.column**2 / k**2
            area = (u[..., 1] * v[..., 0] - u[..., 0] * v[..., 1]) * column
            if k == 1:
                centres.append((a + b + c) * (1 / 3))
                areas.append(area)
                continue
            points = weights[:, 0, None, None, None] * a[None]
            points = points + weights[:, 1, None, None, None] * b[None]
            points = points + weights[:, 2, None, None, None] * c[None]
            count = k**2 * chosen.shape[1]
            centres.append(points.permute(1, 0, 2, 3).reshape(batch, count, 3))
            areas.append(area[:, None].expand(-1, k**2, -1).reshape(batch, count))
        return torch.cat(centres, 1), torch.cat(areas, 1)

    def forward(self, vertices: Tensor) -> Tensor:
        """Return the occupancy (B, depth, size, size), 0 to 1, of vertices (B, N, 3) px, crop
        frame."""
        return self._cut(self._filled(vertices, 1.0))

    def quantised(self, vertices: Tensor) -> Tensor:
        """Return the same in uint8, 255 inside."""
        return self._cut((self._filled(vertices, 255.0) + 0.5).to(torch.uint8))

    def _filled(self, vertices: Tensor, inside: float) -> Tensor:
        """Return occupancy (B, depth + 2, size + 2, size + 2) in 0..inside: a border column on each
        side takes what falls outside."""
        centres, areas = self.pieces(vertices)
        areas = areas * inside
        batch, grid = vertices.shape[0], self.grid
        side, depth = grid.size + 2, grid.depth
        x = (centres[..., 0] * (1 / grid.column) + 0.5).clamp(0, side - 1.001)
        y = (centres[..., 1] * (1 / grid.column) + 0.5).clamp(0, side - 1.001)
        z = (centres[..., 2] * (1 / grid.slice)).clamp(0, depth)
        x0, y0, z0 = x.floor(), y.floor(), z.floor()
        fx, fy, fz = self._share(x - x0), self._share(y - y0), z - z0
        at = ((z0 * side + y0) * side + x0).long()
        along_z = torch.stack([areas * (1 - fz), areas * fz], 1)
        along_y = torch.stack([1 - fy, fy], 1)
        along_x = torch.stack([1 - fx, fx], 1)
        shares = along_z[:, :, None, None] * along_y[:, None, :, None] * along_x[:, None, None]
        slots = at[:, None] + self.corners
        flux = torch.zeros(
            batch, (depth + 2) * side * side, dtype=vertices.dtype, device=vertices.device
        )
        wide = 8 * areas.shape[1]
        flux = flux.scatter_add(1, slots.reshape(batch, wide), shares.reshape(batch, wide))
        flux = flux.view(batch, depth + 2, side, side)
        crossed, filled = flux.abs().cumsum(1), flux.cumsum(1)
        left = filled[:, -1:] / (crossed[:, -1:] + 1e-6)
        return (filled - crossed * left).clamp(0, inside)

    def _cut(self, volume: Tensor) -> Tensor:
        return volume[:, : self.grid.depth, 1:-1, 1:-1]

    def _share(self, part: Tensor) -> Tensor:
        """Return the next column's share of what lies this far, 0 to 1, on the way to it."""
        sharpness = self.grid.sharpness
        return (part * sharpness - (sharpness - 1) / 2).clamp(0, 1)


def _split(k: int) -> np.ndarray:
    """Return the barycentric centres (k*k, 3) of a regular subdivision of a triangle."""
    rows = []
    for i in range(k):
        for j in range(k - i):
            rows.append([i + 1 / 3, j + 1 / 3])
            if i + j < k - 1:
                rows.append([i + 2 / 3, j + 2 / 3])
    w = np.array(rows) / k
    return np.concatenate([w, 1 - w.sum(1, keepdims=True)], 1).astype(np.float32)
