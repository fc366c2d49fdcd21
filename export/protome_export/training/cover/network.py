"""The cover network: how much of eyes, nose, and mouth with chin something hides.

Frozen maps of Face Mesh (`facemesh.FaceMesh`) in the upright window are decoded to 12 x 12 cells of
16 window px: which of the three regions a cell belongs to, and whether something lies over it. The
share of a region is the mean of the latter over its cells.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome_export.render.inner_face import REGIONS
from protome_export.training.facemesh import WIDTHS, FaceMesh
from protome_export.training.trunk import conv

CELLS: Final = 12  # a side of the window
_WIDTH = 48
_DROPPED = 0.2  # share of the maps' channels dropped in training
_LEAST = 1e-3


class CoverNet(nn.Module):
    """Map windows (B, 3, 192, 192) in 0..1 to the hidden share (B, 3) of each of
    `inner_face.REGIONS`, 0..1.

    Args:
        mesh: the trunk; not trained, and not part of this module's state.
    """

    def __init__(self, mesh: FaceMesh) -> None:
        super().__init__()
        self._trunk = [mesh]  # in a list: not a child, whose weights would be saved
        self.dtype = torch.float32  # of the convolutions
        _, _, m2, m3 = WIDTHS
        self.k2 = conv(m2, _WIDTH, 1, act=False)
        self.k3 = conv(m3, _WIDTH, 1, act=False)
        self.mix = conv(_WIDTH, _WIDTH)
        self.out = nn.Conv2d(_WIDTH, len(REGIONS) + 1, 1)

    def forward(self, windows: Tensor) -> Tensor:
        return self.shares(self.cells(*self.maps(windows)))

    def maps(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frozen trunk's two coarsest maps, (B, 128, 12, 12) and (B, 128, 6, 6)."""
        with torch.no_grad():
            _, _, f2, f3 = self._trunk[0].maps(windows.to(self.dtype))
        return f2, f3

    def cells(self, f2: Tensor, f3: Tensor) -> Tensor:
        """Return logits (B, 4, 12, 12) from `maps`: the regions, and what is hidden."""
        f2, f3 = (fn.dropout2d(f, _DROPPED, self.training) for f in (f2, f3))
        far = fn.interpolate(self.k3(f3), scale_factor=2.0, mode="nearest")
        out: Tensor = self.out(self.mix(fn.relu(self.k2(f2) + far)))
        return out.float()

    def shares(self, cells: Tensor) -> Tensor:
        """Return the hidden share (B, 3) of each region from the logits of `cells`."""
        there, hidden = cells[:, :-1].sigmoid().flatten(2), cells[:, -1:].sigmoid().flatten(2)
        return (there * hidden).sum(2) / (there.sum(2) + _LEAST)
