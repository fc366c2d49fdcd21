"""Say where the eyes, the nose and the mouth with the chin of a head are in its picture."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Floats, HeadModel
from protome_export.heads.pose import CROP
from protome_export.render.drawing.paint import shrinking
from protome_export.render.drawing.view import SIZE

from .gbuffer import draw
from .surfaces import RenderHead

REGIONS: Final = ("eyes", "nose", "mouth")
# Segments between landmarks, seen from the front, and cm around them that belong to each region;
# the first that reaches a point has it.
SEGMENTS: Final = (
    ((36, 39, 0.9), (42, 45, 0.9)),
    ((28, 33, 1.1), (31, 35, 0.8)),
    ((48, 54, 1.2), (57, 8, 1.5)),
)
_DEEP: Final = 6.0  # cm behind the tip of the nose at which the inner face ends


class InnerFace:
    """The regions of a head model's triangles."""

    def __init__(self, head: HeadModel, render: RenderHead, device: torch.device) -> None:
        self.triangles = render.triangles
        self.region = torch.from_numpy(_regions(head, render)).to(device)
        self.down = shrinking(SIZE, CROP, device)

    def shares(self, pixels: Tensor) -> Tensor:
        """Return the regions' part of each crop px, (B, 3, CROP, CROP).

        Hair, glasses and everything else are taken off; what the head itself hides does not count.

        Args:
            pixels: (B, V, 3) the head model's vertices, G-buffer px.
        """
        there = torch.ones(len(pixels), len(self.triangles), dtype=torch.bool, device=pixels.device)
        ids = draw(pixels, self.triangles, there, SIZE).ids
        region = torch.where(ids >= 0, self.region[ids.clamp(min=0)], -1)
        kinds = torch.arange(len(REGIONS), device=pixels.device)[:, None, None]
        shown = (region[:, None] == kinds).float()
        return self.down @ shown @ self.down.T


def _regions(head: HeadModel, render: RenderHead) -> np.ndarray:
    """Return the region of each triangle, -1 for none, (T,) int64."""
    marks = head.landmarks_neutral
    middle = head.neutral[render.triangles].mean(1)
    out = np.full(len(middle), -1, np.int64)
    front = middle[:, 2] > marks[30, 2] - _DEEP
    for region, segments in enumerate(SEGMENTS):
        for first, last, reach in segments:
            off = distance(middle[:, :2], marks[first, :2], marks[last, :2])
            out[(off < reach) & front & (out < 0)] = region
    return out


def distance(points: Floats, a: Floats, b: Floats) -> Floats:
    """Return the distance (N,) of points (N, 2) to the segment from a to b."""
    along = ((points - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
    return np.asarray(np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
