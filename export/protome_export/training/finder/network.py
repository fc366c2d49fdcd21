"""The finder: crop -> the upright window around its face.

Features of the face detector (`yunet.YuNet`, which has seen photographs) vote for the window: each
cell says how the face is turned, how large it is and where its middle lies, and how much its vote
counts.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome_export.training.geometry import CROP
from protome_export.training.pretrained.yunet import CHANNELS, YuNet
from protome_export.training.window import Window

SIDE: Final = 96  # px of the picture that it sees
_CELLS: Final = SIDE // 8
_WIDTH: Final = 48
_CODE: Final = 64
_GAIN: Final = 0.2  # brings the detector's features to a usual size
_ZOOM: Final = 0.67  # crop px of a window px of a usual face
_VOTES: Final = 6  # weight, x, y, cosine, sine, logarithm of the zoom


class FinderNet(nn.Module):
    """Map crops (B, 3, 192, 192) or (B, 3, 96, 96), RGB in 0..1, to windows.

    Args:
        yunet: the trunk, trained along.
    """

    x: Tensor
    y: Tensor

    def __init__(self, yunet: YuNet) -> None:
        super().__init__()
        self.trunk = yunet
        self.near = nn.Conv2d(CHANNELS, _WIDTH, 3, padding=1)
        self.far = nn.Conv2d(CHANNELS, _WIDTH, 1)
        self.code = nn.Linear(CHANNELS * (SIDE // 32) ** 2, _CODE)
        self.spread = nn.Linear(_CODE, _WIDTH)
        self.mix = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.out = nn.Conv2d(_WIDTH, _VOTES, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        centres = (torch.arange(_CELLS) + 0.5) * (CROP / _CELLS)
        self.register_buffer("x", centres.repeat(_CELLS), persistent=False)
        self.register_buffer("y", centres.repeat_interleave(_CELLS), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Compute the mean vote (B, 5).

        It is cosine and sine of the turn, not of length 1, logarithm of the zoom, and centre,
        crop px.
        """
        if crops.shape[-1] != SIDE:
            crops = fn.avg_pool2d(crops, crops.shape[-1] // SIDE)
        fine, middle, coarse = self.trunk(crops)
        code = fn.relu(self.code(coarse.flatten(1) * _GAIN))
        far = fn.interpolate(self.far(middle * _GAIN), scale_factor=2.0, mode="nearest")
        h = fn.relu(self.near(fine * _GAIN) + far + self.spread(code)[:, :, None, None])
        votes = self.out(fn.relu(self.mix(h))).flatten(2)
        weight, x, y, cosine, sine, zoom = votes.unbind(1)
        parts = [cosine + 1, sine, zoom * 0.3, x * 32 + self.x, y * 32 + self.y]
        mean: Tensor = (torch.stack(parts, 1) @ fn.softmax(weight * 4, 1)[:, :, None])[..., 0]
        return mean

    def find(self, crops: Tensor) -> Window:
        """Return the windows of crops."""
        vote = self(crops)
        direction = vote[:, :2] / vote[:, :2].norm(dim=1, keepdim=True).clamp(min=1e-6)
        c, s = direction[:, 0], direction[:, 1]
        turn = torch.stack([c, s, -s, c], 1).view(-1, 2, 2)
        return Window(turn, vote[:, 2].exp() * _ZOOM, vote[:, 3:])


def vote_for(window: Window) -> Tensor:
    """Return the vote (B, 5) that gives a window; see `FinderNet.forward`."""
    zoom = (window.zoom * (1 / _ZOOM)).log()
    return torch.cat([window.turn[:, 0], zoom[:, None], window.centre], 1)


def mirrored_vote(votes: Tensor) -> Tensor:
    """Return the votes (B, 5) for the windows of mirrored crops."""
    cosine, sine, zoom, x, y = votes.unbind(1)
    return torch.stack([cosine, -sine, zoom, CROP - x, y], 1)
