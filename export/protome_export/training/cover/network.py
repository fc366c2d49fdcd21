"""The cover network: how much of eyes, nose, and mouth with chin something hides.

Frozen maps of Face Mesh (`facemesh.FaceMesh`) in the upright window are decoded to 12 x 12 cells of
16 window px: which of the three regions a cell belongs to, and whether something lies over it. The
share of a region is the mean of the latter over its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome_export.render.inner_face import REGIONS
from protome_export.training.pretrained.facemesh import WIDTHS
from protome_export.training.trunk import conv

CELLS: Final = 12  # a side of the window
_WIDTH = 48
_DROPPED = 0.2  # share of the maps' channels dropped in training
_LEAST = 1e-3


class CoverNet(nn.Module):
    """Map the trunk's maps of windows to hidden shares (B, 3) of `inner_face.REGIONS`, 0..1."""

    def __init__(self) -> None:
        super().__init__()
        _, m1, m2, m3 = WIDTHS
        self.k1 = conv(2 * m1, _WIDTH, 1, act=False)
        self.k2 = conv(m2, _WIDTH, 1, act=False)
        self.k3 = conv(m3, _WIDTH, 1, act=False)
        self.mix = conv(_WIDTH, _WIDTH)
        self.out = nn.Conv2d(_WIDTH, len(REGIONS) + 1, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.shares(self.cells(maps))

    def cells(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, 4, 12, 12): the regions, and what is hidden.

        Args:
            maps: the three coarsest of `FaceMesh.maps`: (B, 64, 24, 24), (B, 128, 12, 12) and
                (B, 128, 6, 6).
        """
        f1, f2, f3 = (fn.dropout2d(f, _DROPPED, self.training) for f in maps)
        near = self.k1(torch.cat([fn.avg_pool2d(f1, 2), fn.max_pool2d(f1, 2)], 1))
        far = fn.interpolate(self.k3(f3), scale_factor=2.0, mode="nearest")
        out: Tensor = self.out(self.mix(fn.relu(near + self.k2(f2) + far)))
        return out.float()

    def shares(self, cells: Tensor) -> Tensor:
        """Return the hidden share (B, 3) of each region from the logits of `cells`."""
        there, hidden = cells[:, :-1].sigmoid().flatten(2), cells[:, -1:].sigmoid().flatten(2)
        return (there * hidden).sum(2) / (there.sum(2) + _LEAST)
