"""Fill the cells of the network's hair grid: the truth that hair is trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor

from .hair import Hair
from .view import View

# Cells along z, y and x, the side of one in crop px, and z of the camera's pivot.
GRID = (60, 52, 52)
CELL = 4.0
PIVOT = 112.0
_FINE = 2  # subcells along a side of a cell
_UP, _STEPS = 3, 26  # the shell is this much finer; steps from its inner to its outer side


def hair_cells(hair: Hair, view: View, count: int, shape: tuple[int, int]) -> Tensor:
    """Return the share of each cell that is hair or headgear, (count, 60, 52, 52) uint8, 255 all.

    Everything between the shell and the skull counts, and a little of the skull, so that hair and
    head overlap. Cells are of 4 crop px, z is away from the camera and PIVOT px at its pivot.

    Args:
        hair: of B heads.
        view: their cameras.
        count: how many of them, the first ones.
        shape: rows and columns of the shell.
    """
    rows = [_cells(hair, view, b, shape) if hair.covers[b] else _nothing(hair) for b in range(count)]
    return torch.stack(rows)


def _nothing(hair: Hair) -> Tensor:
    return torch.zeros(GRID, dtype=torch.uint8, device=hair.alpha.device)


def _cells(hair: Hair, view: View, b: int, shape: tuple[int, int]) -> Tensor:
    size = [shape[0] * _UP, shape[1] * _UP]

    def finer(points: Tensor) -> Tensor:
        grid = points.view(*shape, 3).permute(2, 0, 1)[None]
        grid = fn.interpolate(grid, size, mode="bilinear", align_corners=True)
        return grid[0].flatten(1).t()

    alpha = fn.interpolate(hair.alpha[b][None, None], size, mode="bilinear")[0, 0].flatten()
    there = alpha > 0
    outer, inner = finer(hair.vertices[b])[there], finer(hair.inner[b])[there]
    t = torch.linspace(0, 1, _STEPS, device=alpha.device)[:, None, None]
    points = (inner + (outer - inner) * t).reshape(1, -1, 3)
    one = View(*(part[b : b + 1] for part in vars(view).values()))
    turned = one.turn(points)[0]
    scale, origin = view.scale[b], view.origin[b]
    x, y = turned[:, 0] * scale + origin[0], origin[1] - turned[:, 1] * scale
    z = PIVOT - turned[:, 2] * scale
    n = [g * _FINE for g in GRID]
    at = [(v * (_FINE / CELL)).floor().long() for v in (z, y, x)]
    inside = torch.ones_like(at[0], dtype=torch.bool)
    for index, count in zip(at, n, strict=True):
        inside &= (index >= 0) & (index < count)
    place = ((at[0] * n[1] + at[1]) * n[2] + at[2])[inside]
    filled = torch.zeros(n[0] * n[1] * n[2], device=alpha.device)
    filled[place] = 1
    volume = filled.view(1, 1, *n)
    # Closes the gaps between points, and the shell's hole at the crown.
    volume = fn.max_pool3d(volume, 5, 1, 2)
    volume = 1 - fn.max_pool3d(1 - volume, 5, 1, 2)
    return (fn.avg_pool3d(volume, _FINE)[0, 0] * 255).round().to(torch.uint8)
