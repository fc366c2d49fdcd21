"""The upright window around a face in its crop, as Face Mesh was trained to see it.

Window frame: px of a 192x192 picture, x right, y down along the face's own vertical, z away from
the camera in the same px; a similarity of the crop frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.render.drawing.paint import centres

from .geometry import CROP

SIDE = 192  # px of a window
# A window's side over sqrt(width * height) of the frontal face's 68 landmarks.
REACH = 1.5


@dataclass(frozen=True)
class Window:
    """Places of B windows in their crops.

    Turn and zoom take window offsets from the middle to crop offsets from the centre.

    Attributes:
        turn: (B, 2, 2).
        zoom: (B,) crop px a window px.
        centre: (B, 2) crop px.
    """

    turn: Tensor
    zoom: Tensor
    centre: Tensor

    def to_crop(self, points: Tensor) -> Tensor:
        """Take points (B, N, 3) px from the window frame to the crop frame; z keeps its origin."""
        xy = (points[..., :2] - SIDE / 2) @ self.turn.transpose(1, 2)
        z = points[..., 2:]
        k = self.zoom[:, None, None]
        return torch.cat([xy * k + self.centre[:, None], z * k], -1)

    def rotated(self, rotation: Tensor) -> Tensor:
        """Take rotations (B, 3, 3) from the window frame to the crop frame."""
        return torch.cat([self.turn @ rotation[:, :2], rotation[:, 2:]], 1)

    def from_crop(self, points: Tensor) -> Tensor:
        """Take points (B, N, 3) px from the crop frame to the window frame; z keeps its origin."""
        k = self.zoom[:, None, None]
        xy = ((points[..., :2] - self.centre[:, None]) @ self.turn) / k + SIDE / 2
        return torch.cat([xy, points[..., 2:] / k], -1)

    def cut(self, crops: Tensor) -> Tensor:
        """Sample windows (B, C, 192, 192) from crops (B, C, S, S) of any size.

        What lies outside of a crop repeats its edge.
        """
        at = centres(SIDE, crops.device) - SIDE / 2
        row, column = torch.meshgrid(at, at, indexing="ij")
        place = torch.stack([column, row, torch.ones_like(row)], -1).view(-1, 3)
        unit = 2 / CROP
        linear = self.turn.transpose(1, 2) * (self.zoom * unit)[:, None, None]
        affine = torch.cat([linear, (self.centre * unit - 1)[:, None]], 1)
        # Clamped here and not by padding_mode="border", which takes ONNX Runtime four times as
        # long on a CPU.
        last = 1 - 1 / crops.shape[-1]
        grid = (place @ affine).clamp(-last, last).view(-1, SIDE, SIDE, 2)
        return fn.grid_sample(crops, grid, padding_mode="zeros", align_corners=False)


def face_size(canonical68: Tensor) -> float:
    """Return sqrt(width * height) in cm of the frontal mean face's landmarks (68, 3)."""
    size = canonical68[:, :2].amax(0) - canonical68[:, :2].amin(0)
    return float(size.prod().sqrt())


def around(
    landmarks: Tensor, rotation: Tensor, scale: Tensor, size: float, jitter: Tensor | None = None
) -> Window:
    """Place the windows of faces.

    Args:
        landmarks: (B, 68, 3) crop px.
        rotation: (B, 3, 3) of the pose.
        scale: (B,) px per cm of the pose.
        size: see `face_size`.
        jitter: (B, 4) an angle in radians, a logarithm of the zoom and an offset in window px by
            which to miss it.
    """
    down = rotation[:, :2, 1]  # the head's vertical in the crop
    down = down / down.norm(dim=1, keepdim=True).clamp(min=1e-6)
    zoom = scale * (REACH * size / SIDE)
    c, s = down[:, 1], down[:, 0]
    if jitter is not None:
        a, b = torch.cos(jitter[:, 0]), torch.sin(jitter[:, 0])
        c, s = c * a - s * b, s * a + c * b
        zoom = zoom * torch.exp(jitter[:, 1])
    turn = torch.stack([c, s, -s, c], 1).view(-1, 2, 2)
    upright = landmarks[..., :2] @ turn
    middle = (upright.amax(1) + upright.amin(1)) / 2
    if jitter is not None:
        middle = middle + jitter[:, 2:] * zoom[:, None]
    centre = (turn @ middle[..., None])[..., 0]
    return Window(turn, zoom, centre)
