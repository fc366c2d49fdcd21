"""The released network: a finder on the whole crop, then a reader on an upright window.

The finder (`finder.network.FinderNet` on the trunk of the face detector) tells where the face is
and how it is turned. The reader (`network.GuidedNet` on Face Mesh's trunk) looks at the upright
window around it. Both trunks have seen photographs and stay frozen. The 468 points of Face Mesh,
which come from the same run of its trunk, are a second opinion on faces that are near frontal.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protome_export.heads.model import MIRROR68

from .cover.network import CoverNet
from .finder.network import FinderNet
from .geometry import umeyama
from .pretrained.facemesh import POINTS68
from .reader.network import GuidedNet, Output

# The second opinion's weight, the yaw in degrees from which it falls and at which it is 0, and the
# presence logit below which it is not heard. Chosen before this network was trained; see
# MODEL_CARD.md for how little they matter.
WEIGHT: Final = 0.5
FADES: Final = (40.0, 60.0)
PRESENT: Final = 3.0
# The share of Face Mesh's systematic offsets that the landmarks given out follow.
FOLLOWED: Final = 0.75
_JAW: Final = 17  # landmarks 0 ... 16, along which annotators do not agree


class JoinedNet(nn.Module):
    """Map crops (B, 3, 192, 192) in 0..1 to an `Output` in the crop frame.

    Attributes:
        offsets: (68, 3) cm, canonical frame: how far Face Mesh's points lie from the landmarks
            of our heads; see `measure_offsets`.
        cover: what tells covered faces from the maps that the reader reads, or None.
    """

    offsets: Tensor
    finder: FinderNet
    reader: GuidedNet
    cover: CoverNet | None

    def __init__(self, finder: FinderNet, reader: GuidedNet, cover: CoverNet | None = None) -> None:
        super().__init__()
        self.cover = cover
        self.finder, self.reader = finder, reader
        self.mesh = reader.trunk.mesh
        self.points = list(POINTS68)
        self.register_buffer("offsets", torch.zeros(68, 3))

    def forward(self, crops: Tensor) -> Output:
        window = self.finder.find(crops)
        maps, points, presence = self.mesh(window.cut(crops))
        own = self.reader.read(*self.reader.trunk.decode(maps))
        rotation, scale = window.rotated(own.rotation), own.scale * window.zoom
        landmarks = window.to_crop(own.landmarks)
        second = window.to_crop(points[:, self.points])
        landmarks = self._heard(landmarks, rotation, scale, second, presence)
        width = own.width * window.zoom[:, None]
        pose = self.reader.pose(landmarks, own.coefficients, width)
        covered = None if self.cover is None else self.cover(maps[1:])
        return Output(landmarks, *pose, own.coefficients, width, covered)

    def second_opinion(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return Face Mesh's own landmarks (B, 68, 3), crop px, and presence score (B,)."""
        window = self.finder.find(crops)
        _, points, presence = self.mesh(window.cut(crops))
        return window.to_crop(points[:, self.points]), presence

    def _heard(
        self, landmarks: Tensor, rotation: Tensor, scale: Tensor, second: Tensor, presence: Tensor
    ) -> Tensor:
        """Move landmarks (B, 68, 3), crop px, of the mean head in this pose towards Face Mesh's.

        The offsets are subtracted from the latter, whose depth gets our mean.
        """
        second = second - scale[:, None, None] * (self.offsets @ rotation.transpose(1, 2))
        depth = landmarks[..., 2].mean(1, keepdim=True) - second[..., 2].mean(1, keepdim=True)
        second = torch.cat([second[..., :2], second[..., 2:] + depth[..., None]], -1)
        first, last = (float(np.sin(np.deg2rad(a))) for a in FADES)
        sideways = ((last - rotation[:, 0, 2].abs()) / (last - first)).clamp(0, 1)
        weight = WEIGHT * sideways * (presence > PRESENT) * (rotation[:, 2, 2] > 0)
        return landmarks + weight[:, None, None] * (second - landmarks)

    @property
    def vertex_count(self) -> int:
        """See `GuidedNet.vertex_count`."""
        return self.reader.vertex_count

    def placed(self, out: Output) -> tuple[Tensor, Tensor]:
        """See `GuidedNet.placed`."""
        return self.reader.placed(out)

    def annotated(self, out: Output) -> Tensor:
        """Return by how much annotators of photographs place landmarks off those of our heads.

        Returns:
            (B, 68, 3) px: Face Mesh's offsets, the jaw's left out.
        """
        shares = torch.full((68, 1), FOLLOWED, device=self.offsets.device)
        shares[:_JAW] = 0
        moved = (self.offsets * shares) @ out.rotation.transpose(1, 2)
        return moved * out.scale[:, None, None]


def measure_offsets(
    net: JoinedNet, crops: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> Tensor:
    """Measure how far Face Mesh's points lie from our heads' landmarks, on renders alone.

    Args:
        net: has Face Mesh and the canonical landmarks.
        crops: (n, 192, 192, 3) RGB renders.
        landmarks: (n, 68, 3) true landmarks, crop px.

    Returns:
        (68, 3) cm in the canonical frame: the median over faces turned by less than 35 degrees on
        which Face Mesh sees a face, made symmetric.
    """
    canonical = net.reader.canonical68
    rows = []
    for start in range(0, len(crops), 32):
        x = torch.from_numpy(crops[start : start + 32]).permute(0, 3, 1, 2).float() / 255
        truth = torch.from_numpy(landmarks[start : start + 32])
        with torch.no_grad():
            second, presence = net.second_opinion(x)
        rotation, scale, _ = umeyama(truth, canonical)
        off = second - truth
        off[..., 2] -= off[..., 2].mean(1, keepdim=True)
        frontal = (rotation[:, 0, 2].abs() < np.sin(np.deg2rad(35))) & (rotation[:, 2, 2] > 0)
        rows.append(((off @ rotation) / scale[:, None, None])[frontal & (presence > PRESENT)])
    offsets = torch.cat(rows).median(0).values
    twins = offsets[torch.from_numpy(MIRROR68)] * torch.tensor([-1.0, 1.0, 1.0])
    return (offsets + twins) / 2
