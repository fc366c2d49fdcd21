"""The network as it is exported: everything from uint8 crops to what the service composes."""

from __future__ import annotations

import copy
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from protome.geometry import HAIR_SHAPE
from protome_export.training.geometry import CROP, FINDER_CORNER, LEAST, NEAREST
from protome_export.training.hair.network import HairNet
from protome_export.training.joined import JoinedNet
from protome_export.training.reader.network import Output

from .calibration import Calibration

OUTPUTS: Final = ("vertices", "hair", "landmarks", "pose", "landmark_error")
COVERED: Final = "covered"


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Merge each Conv2d + BatchNorm2d pair of an eval-mode module, in place."""
    for child in module.children():
        fold_batch_norm(child)
    if isinstance(module, nn.Sequential):
        for k in range(len(module) - 1):
            conv, norm = module[k], module[k + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[k] = fuse_conv_bn_eval(conv, norm)
                module[k + 1] = nn.Identity()
    return module


class ServedNet(nn.Module):
    """Map uint8 crops (n, 208, 208, 3) to what the service needs.

    Outputs:
      vertices (n, N, 3) of the posed head, crop px;
      hair, uint8 (n, 42, 52, 52): probability times 255 that a cell is hair or headgear;
      landmarks (n, 68, 3), crop px;
      pose (n, 3, 4) from the head's own frame (cm, x to its left, y up, z forward, origin at the
      mean of the 68 landmarks) to the crop frame (px);
      landmark_error (n, 68), expected error of each landmark, crop px;
      covered (n, 3), shares of eyes, nose, and mouth with chin that something hides, if ``net``
      has a cover network.

    Args:
        net: the trained network.
        served: (68,) vertices returned as landmarks.
        calibration: what was measured of it.
        hair: the hair network; None: no hair.
    """

    served: Tensor
    corner: Tensor
    mean: Tensor
    modes: Tensor
    hull: Tensor

    def __init__(
        self,
        net: JoinedNet,
        served: NDArray[np.int32],
        calibration: Calibration,
        hair: HairNet | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("served", torch.from_numpy(served.astype(np.int64)))
        self.register_buffer("corner", torch.tensor([*map(float, FINDER_CORNER), 0.0]))
        self.net = own = copy.deepcopy(net).float().eval()
        fold_batch_norm(own)
        head = own.reader
        head.amp = False
        self.hair = copy.deepcopy(hair)
        if self.hair is not None:
            fold_batch_norm(self.hair.float().eval())
        self.calibration = calibration
        if calibration.offsets is not None:
            own.offsets.copy_(torch.from_numpy(calibration.offsets))
        # Axis by axis: adding to (n, N, 3) is slow, three numbers at a time.
        mean, modes = head.mean, head.modes
        self.register_buffer("mean", mean.T.reshape(-1))
        by_axis = modes.view(len(modes), -1, 3).transpose(1, 2)
        self.register_buffer("modes", by_axis.reshape(len(modes), -1))
        # The nearest point of a head in any pose is one of its convex hull.
        corners = ConvexHull(mean.numpy().astype(np.float64)).vertices
        self.register_buffer("hull", mean[torch.from_numpy(corners).long()].T.contiguous())

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        pixels = crops.permute(0, 3, 1, 2).float() * (1 / 255)
        left, top = FINDER_CORNER
        out = self.net(pixels[:, :, top : top + CROP, left : left + CROP])
        scaled = out.rotation * out.scale[:, None, None]
        vertices, origin = self._placed(out, scaled)
        # Vertices of the posed head instead of the heatmaps' points: they follow the face's shape.
        landmarks = vertices[:, self.served] + self.net.annotated(out)
        forward = scaled * torch.tensor([1.0, -1.0, -1.0])  # canonical axes to the head's own
        pose = torch.cat([forward, origin[:, :, None]], 2)
        if self.hair is None:
            hair = torch.zeros(crops.shape[0], *HAIR_SHAPE, dtype=torch.uint8)
        else:
            logits = self.hair(pixels, out.rotation, out.scale, origin)
            hair = (torch.sigmoid(logits) * 255 + 0.5).to(torch.uint8)
        c = self.calibration
        error = (out.width * c.factor + c.constant).clamp(min=0.5)
        answer = vertices, hair, landmarks, pose, error
        return answer if out.covered is None else (*answer, out.covered)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what `forward` gives."""
        return OUTPUTS if self.net.cover is None else (*OUTPUTS, COVERED)

    def _placed(self, out: Output, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Compute `GuidedNet.placed` in the whole crop, and the landmarks' mean (n, 3) there."""
        own = torch.addmm(self.mean, out.coefficients, self.modes).view(
            -1, 3, self.net.vertex_count
        )
        turned = scaled @ own
        front = (scaled[:, 2:] @ self.hull).amin(2)
        z = torch.maximum(NEAREST - front, LEAST - turned[:, 2:].amin(2))
        origin = torch.cat([out.translation[:, :2], z], 1) + self.corner
        return (turned + origin[:, :, None]).transpose(1, 2), origin
