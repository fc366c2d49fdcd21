"""The hair network: crop and pose of the head -> occupancy of hair and headgear.

Frozen maps of a network that tells persons from backgrounds (`selfie.Selfie`, which has seen
photographs) are decoded to one column of cells per 4 x 4 crop px.
A column's logits are a slab between two depths, predicted relative to an ellipsoid around the posed
skull, plus a free part per cell: the slab keeps the surface smooth, the rest lets hair hang beside
a face.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome.geometry import CROP_SIDE, HAIR_CELL, HAIR_SHAPE, PIXELS_PER_CM
from protome_export.training.pretrained.selfie import WIDTHS, Selfie
from protome_export.training.trunk import Residual, conv

SLICES, COLUMNS = HAIR_SHAPE[:2]
CELL: Final = float(HAIR_CELL)
_HALF: Final = CROP_SIDE / 2
# The skull's ellipsoid: centre relative to the mean of the 68 landmarks, and radii; cm, canonical
# frame (x right, y down, z away).
_CENTRE: Final = (0.0, -3.0, 8.8)
_RADII: Final = (7.8, 10.3, 10.2)
_SOFT: Final = 3.0  # px over which a slab's logit changes by one
_MOST: Final = 5.0  # largest logit of a slab
_ROUND: Final = 8.0  # px over which a slab's two sides meet, so that there is no crease
_BULGE: Final = 0.25  # logits that smoothing takes off what is round, as all hair is
_W13, _W26, _W52 = 64, 48, 40
_DROPPED: Final = 0.1  # share of the maps' channels dropped in training


class HairNet(nn.Module):
    """Map crops (B, 3, 208, 208) in 0..1 and poses to logits (B, 42, 52, 52) along z, y, x.

    Args:
        selfie: the trunk; not trained, and not part of this module's state.
    """

    place: Tensor
    z: Tensor
    even: Tensor
    centre: Tensor
    radii: Tensor

    def __init__(self, selfie: Selfie) -> None:
        super().__init__()
        self._trunk = [selfie]  # in a list: not a child, whose weights would be saved
        m0, m1, m2 = WIDTHS
        extra = 5
        self.squeeze = conv(m2, 24, 1)
        self.code = nn.Linear(24 * 36 + 12, 128)
        self.spread = nn.Linear(128, _W13)
        self.k2 = conv(m2 + extra, _W13, 1, act=False)
        self.d2 = Residual(_W13)
        self.u2, self.k1 = conv(_W13, _W26, 1, act=False), conv(m1 + extra, _W26, 1, act=False)
        self.d1 = Residual(_W26)
        self.u1, self.k0 = conv(_W26, _W52, 1, act=False), conv(m0 + extra, _W52, 1, act=False)
        self.d0 = conv(_W52, _W52)
        self.out = nn.Conv2d(_W52, SLICES + 2, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        at = (torch.arange(COLUMNS) + 0.5) * CELL
        y, x = torch.meshgrid(at, at, indexing="ij")
        place = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
        self.register_buffer("place", place, persistent=False)
        z = (torch.arange(SLICES) + 0.5) * CELL
        self.register_buffer("z", z[None, :, None, None], persistent=False)
        self.register_buffer("even", _even(), persistent=False)
        self.register_buffer("centre", torch.tensor(_CENTRE), persistent=False)
        self.register_buffer("radii", torch.tensor(_RADII), persistent=False)

    def forward(self, crops: Tensor, rotation: Tensor, scale: Tensor, origin: Tensor) -> Tensor:
        """Compute logits; the pose is from the canonical frame to the crop frame.

        Args:
            crops: (B, 3, 208, 208) in 0..1.
            rotation: (B, 3, 3) of the pose.
            scale: (B,) of the pose, px per cm.
            origin: (B, 3) of the pose, px.
        """
        return self.decode(self._trunk[0](crops), rotation, scale, origin)

    def decode(self, maps: list[Tensor], rotation: Tensor, scale: Tensor, origin: Tensor) -> Tensor:
        """Compute the same from the trunk's maps."""
        middle, half = self._skull(rotation, scale, origin)
        f0, f1, f2 = self._thinned(maps)
        guide = self._guide(middle, half, origin)
        g1, g2 = fn.avg_pool2d(guide, 2), fn.avg_pool2d(guide, 4)
        size = (scale * (1 / PIXELS_PER_CM)).log()[:, None]
        place = origin[:, :2] * (1 / _HALF) - 1
        pose = torch.cat([rotation.flatten(1), size, place], 1)
        code = torch.cat([self.squeeze(fn.avg_pool2d(f2, 2)).flatten(1), pose], 1)
        whole = self.spread(fn.relu(self.code(code)))[:, :, None, None]
        h = self.d2(fn.relu(self.k2(torch.cat([f2, g2], 1)) + whole))
        h = fn.interpolate(self.u2(h), scale_factor=2.0, mode="nearest")
        h = self.d1(fn.relu(h + self.k1(torch.cat([f1, g1], 1))))
        h = fn.interpolate(self.u1(h), scale_factor=2.0, mode="nearest")
        h = self.d0(fn.relu(h + self.k0(torch.cat([f0, guide], 1))))
        assert self.out.bias is not None
        weight = (self.even @ self.out.weight.flatten(1))[:, :, None, None]
        out = fn.conv2d(h, weight, self.even @ self.out.bias)
        half = half + 4 * (out[:, SLICES] + out[:, SLICES + 1])
        middle = middle + 4 * (out[:, SLICES + 1] - out[:, SLICES])
        away = ((self.z - middle[:, None]).square() + _ROUND**2).sqrt()
        slab = (half[:, None] + _ROUND - away) * (1 / _SOFT)
        return _smoothed(_smoothed(slab.clamp(-_MOST, _MOST) + out[:, :SLICES])) + _BULGE

    def _thinned(self, maps: list[Tensor]) -> list[Tensor]:
        """Drop channels of the maps at random in training."""
        return [fn.dropout2d(f, _DROPPED, self.training) for f in maps]

    def _skull(self, rotation: Tensor, scale: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Return middle and half of the way through the ellipsoid, (B, 52, 52) px.

        Beside it half is negative.
        """
        inverse = rotation.transpose(1, 2) / (self.radii[:, None] * scale[:, None, None])
        # Where the columns enter the unit sphere's frame, and their direction there.
        start = -inverse[:, :, :2] @ origin[:, :2, None] - (self.centre / self.radii)[:, None]
        at = torch.cat([inverse[:, :, :2], start], 2) @ self.place
        along = inverse[:, :, 2:]
        a = along.square().sum(1, keepdim=True)
        b = along.transpose(1, 2) @ at
        c = at.square().sum(1, keepdim=True) - 1
        inside = (b.square() - a * c) / a.square()
        half = inside.clamp(min=0).sqrt() - (-inside).clamp(min=0, max=2e4).sqrt()
        middle = origin[:, 2:, None] - b / a
        return middle.view(-1, COLUMNS, COLUMNS), half.view(-1, COLUMNS, COLUMNS)

    def _guide(self, middle: Tensor, half: Tensor, origin: Tensor) -> Tensor:
        """Return (B, 5, 52, 52): what tells each column where it lies on the posed skull."""
        xy = (self.place[:2] - origin[:, :2, None]) * (1 / _HALF)
        front, back = (middle - half) * (1 / 80) - 1, (middle + half) * (1 / 80) - 1
        skull = torch.stack([front, back, half * (1 / 60)], 1)
        return torch.cat([xy.view(-1, 2, COLUMNS, COLUMNS), skull], 1)


def _even() -> Tensor:
    """Return what averages the free parts of neighbouring slices, by 1 4 6 4 1, (44, 44).

    The rest is kept. The bias of a slice would be seen as a ridge across the hair.
    """
    even = torch.eye(SLICES + 2)
    even[:SLICES, :SLICES] = _along_z(_along_z(torch.eye(SLICES)[None]))[0]
    return even


def _smoothed(logits: Tensor) -> Tensor:
    """Smooth by 1 2 1 along each axis: the surface shall not show the cells."""
    wide = fn.pad(_along_z(logits), (1, 1, 1, 1), mode="replicate")
    return fn.avg_pool2d(fn.avg_pool2d(wide, 2, 1), 2, 1)


def _along_z(slices: Tensor) -> Tensor:
    """Smooth by 1 2 1 along the second axis; beyond its ends the last values go on."""
    wide = torch.cat([slices[:, :1], slices, slices[:, -1:]], 1)
    return 0.25 * (wide[:, :-2] + wide[:, 2:]) + 0.5 * slices
