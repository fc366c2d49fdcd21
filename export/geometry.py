"""Pose from landmarks and occupancy from a posed mesh, in plain tensor operators (ONNX-ready)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

DEPTH, GRID, CROP = 100, 96, 192
# px of the volume's depth: where the nearest point of the posed mean head lies, and the least at
# which the head's own may (one with a long nose is moved back to it).
NEAREST, LEAST = 4.0, 1.0
# Measured on photos: 2 is as near to the surface as 1.5, and ripples on cheeks.
_SHARPNESS = 1.5


@dataclass(frozen=True)
class Grid:
    """A volume over the crop: size columns and rows of column px, depth slices of slice px.
    Triangles are split into pieces of at most piece px before they are scattered."""

    size: int
    depth: int
    column: float
    slice: float
    piece: float


STANDARD = Grid(GRID, DEPTH, 2.0, 1.0, 2.6)
FINE = Grid(2 * GRID, 2 * DEPTH, 1.0, 0.5, 1.7)


def umeyama(
    landmarks: Tensor, canonical: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Least-squares similarity (Umeyama 1991): landmarks = s R canonical + t.

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
    """Occupancy of a closed, posed mesh by the flux of its surface.

    The occupancy's derivative along z is minus the surface's projected, signed area, so
    scattering that area into voxels and summing along z fills the solid. Triangles are split
    into pieces first (by their size on the mean head at 6.2 px a cm); each piece is spread over
    its 2x2 nearest columns and 2 nearest slices, so iso-surfaces are sub-voxel. Columns are
    spread less than linearly: lips and nose keep their edges.
    """

    steps: Tensor

    def __init__(self, mean: np.ndarray, triangles: np.ndarray, grid: Grid = STANDARD) -> None:
        super().__init__()
        self.grid = grid
        edges = mean[triangles] - mean[triangles[:, [1, 2, 0]]]
        longest = np.linalg.norm(edges, axis=-1).max(1) * 6.2
        level = np.clip(np.ceil(longest / grid.piece), 1, 12).astype(int)
        self.levels = sorted(set(level.tolist()))
        for k in self.levels:
            chosen = torch.from_numpy(triangles[level == k].astype(np.int64))
            self.register_buffer(f"corners{k}", chosen.t().contiguous())
            self.register_buffer(f"weights{k}", torch.from_numpy(_split(k)))
        self.register_buffer("steps", torch.ones(grid.depth, grid.depth).tril())
        self.mean, self.triangles = mean, triangles

    def at(self, grid: Grid) -> Voxeliser:
        """The same mesh over another grid."""
        return Voxeliser(self.mean, self.triangles, grid)

    def pieces(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """vertices (B, N, 3) px -> piece centres (B, P, 3) px, projected areas (B, P) in columns,
        positive where the surface faces the camera."""
        centres, areas = [], []
        for k in self.levels:
            corners, weights = getattr(self, f"corners{k}"), getattr(self, f"weights{k}")
            a, b, c = (vertices[:, corners[i]] for i in range(3))
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
            points = points.permute(1, 0, 2, 3)
            centres.append(points.flatten(1, 2))
            areas.append(area[:, None].expand(-1, k**2, -1).flatten(1, 2))
        return torch.cat(centres, 1), torch.cat(areas, 1)

    def forward(self, vertices: Tensor) -> Tensor:
        """vertices (B, N, 3) in the crop frame -> occupancy (B, depth, size, size) in 0..1."""
        centres, areas = self.pieces(vertices)
        batch, grid = vertices.shape[0], self.grid
        # One border column on each side takes what falls outside; it is cut off at the end.
        side, depth = grid.size + 2, grid.depth
        x = (centres[..., 0] * (1 / grid.column) + 0.5).clamp(0, side - 1.001)
        y = (centres[..., 1] * (1 / grid.column) + 0.5).clamp(0, side - 1.001)
        z = (centres[..., 2] * (1 / grid.slice)).clamp(0, depth)
        x0, y0, z0 = x.floor(), y.floor(), z.floor()
        fx, fy, fz = _sharpened(x - x0), _sharpened(y - y0), z - z0
        at = ((z0 * side + y0) * side + x0).long()
        near, far = areas * (1 - fz), areas * fz
        slots, values = [], []
        for dz, part in ((0, near), (1, far)):
            top, low = part * (1 - fy), part * fy
            for dy, row in ((0, top), (1, low)):
                offset = (dz * side + dy) * side
                slots += [at + offset, at + offset + 1]
                values += [row * (1 - fx), row * fx]
        size = (depth + 2) * side * side
        flux = torch.zeros(batch, size, dtype=vertices.dtype, device=vertices.device)
        flux = flux.scatter_add(1, torch.cat(slots, 1), torch.cat(values, 1))
        flux = flux.view(batch, depth + 2, side * side)[:, :depth]
        filled = (self.steps @ flux).clamp(0, 1).view(batch, depth, side, side)
        return filled[:, :, 1:-1, 1:-1]


def _sharpened(part: Tensor) -> Tensor:
    """Shares 0..1 of a column's neighbour, moved away from a half."""
    return (part * _SHARPNESS - (_SHARPNESS - 1) / 2).clamp(0, 1)


def _split(k: int) -> np.ndarray:
    """Barycentric centres (k*k, 3) of a triangle's regular subdivision into k*k."""
    rows = []
    for i in range(k):
        for j in range(k - i):
            rows.append([i + 1 / 3, j + 1 / 3])
            if i + j < k - 1:
                rows.append([i + 2 / 3, j + 2 / 3])
    w = np.array(rows) / k
    return np.concatenate([w, 1 - w.sum(1, keepdims=True)], 1).astype(np.float32)
