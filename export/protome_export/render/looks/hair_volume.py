"""Fill the cells of the network's hair grid: the truth that hair is trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor

from protome.geometry import HAIR_CELL, HAIR_SHAPE
from protome_export.render.drawing.view import View

from .hair import Hair, HairShell

# Cells along z, y and x, the side of one in crop px, and z of the camera's pivot.
GRID = (60, *HAIR_SHAPE[1:])
CELL = float(HAIR_CELL)
PIVOT = 112.0
_FINE = 2  # subcells along a side of a cell
_UP, _STEPS = 3, 26  # the shell is this much finer; steps from its inner to its outer side


def hair_cells(hair: Hair, view: View, count: int, shell: HairShell) -> tuple[Tensor, Tensor]:
    """Return where hair or headgear is, and where it makes no difference.

    Everything between the shell and the skull counts, and a little of the skull, so that hair and
    head overlap. Cells are of 4 crop px, z is away from the camera and PIVOT px at its pivot.

    Args:
        hair: of B heads.
        view: their cameras.
        count: how many of them, the first ones.
        shell: geometry of the hair.

    Returns:
        The share of each cell that is hair, (count, 60, 52, 52) uint8, 255 all; which cells lie
        inside of the skull, (count, 60, 52, 52) bool.
    """
    cells, inside = [], []
    for b in range(count):
        one = View(*(part[b : b + 1] for part in vars(view).values()))
        inner = _finer(hair.inner[b], shell.shape)
        skull = inner[:, : shell.skull_rows * _UP].flatten(1).t()
        inside.append(_filled(one, shell.centre.expand_as(skull), skull) > 0)
        if not hair.covers[b]:
            cells.append(torch.zeros_like(inside[-1]).float())
            continue
        outer = _finer(hair.vertices[b], shell.shape)
        alpha = fn.interpolate(hair.alpha[b][None, None], outer.shape[1:], mode="bilinear")[0, 0]
        there = alpha > 0
        cells.append(_filled(one, inner[:, there].t(), outer[:, there].t()))
    # Of the skull only cells that are all inside.
    whole = torch.stack(cells).mul(255).round().to(torch.uint8)
    skulls = fn.avg_pool3d(torch.stack(inside)[:, None].float(), 3, 1, 1)[:, 0] > 0.99
    return whole, skulls


def _finer(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate a map of the shell, (rows * columns, 3), to (3, finer rows, finer columns)."""
    grid = points.view(*shape, 3).permute(2, 0, 1)[None]
    size = [shape[0] * _UP, shape[1] * _UP]
    return fn.interpolate(grid, size, mode="bilinear", align_corners=True)[0]


def _filled(view: View, inner: Tensor, outer: Tensor) -> Tensor:
    """Fill the cells on the lines from inner (N, 3) to outer (N, 3), cm; return shares."""
    t = torch.linspace(0, 1, _STEPS, device=inner.device)[:, None, None]
    turned = view.turn((inner + (outer - inner) * t).reshape(1, -1, 3))[0]
    scale, origin = view.scale[0], view.origin[0]
    x, y = turned[:, 0] * scale + origin[0], origin[1] - turned[:, 1] * scale
    z = PIVOT - turned[:, 2] * scale
    n = [g * _FINE for g in GRID]
    at = [(v * (_FINE / CELL)).floor().long() for v in (z, y, x)]
    there = torch.ones_like(at[0], dtype=torch.bool)
    for index, most in zip(at, n, strict=True):
        there &= (index >= 0) & (index < most)
    place = ((at[0] * n[1] + at[1]) * n[2] + at[2])[there]
    filled = torch.zeros(n[0] * n[1] * n[2], dtype=torch.bool, device=inner.device)
    filled[place] = True
    # Closes the gaps between points, and the shell's hole at the crown.
    closed = ~_grown(~_grown(filled.view(*n)))
    return fn.avg_pool3d(closed[None].float(), _FINE)[0]


def _grown(filled: Tensor) -> Tensor:
    """Grow what is filled (bool) by two subcells along each axis."""
    for axis in range(3):
        n = filled.shape[axis]
        for step in (1, 1):
            near = filled.clone()
            near.narrow(axis, step, n - step).logical_or_(filled.narrow(axis, 0, n - step))
            near.narrow(axis, 0, n - step).logical_or_(filled.narrow(axis, step, n - step))
            filled = near
    return filled
