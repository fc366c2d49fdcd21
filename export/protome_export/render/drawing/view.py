"""Hold the cameras of a batch as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protome_export.heads.pose import CROP, Camera

SIZE = CROP * 3 // 2  # rendered at 1.5 times the crop and averaged down


@dataclass
class View:
    """B cameras (`heads.pose.Camera`) as tensors; ``closeness`` is 1 / distance, 0 for inf."""

    rotation: Tensor
    pivot: Tensor
    closeness: Tensor
    scale: Tensor
    origin: Tensor

    @classmethod
    def of(cls, cameras: list[Camera], device: torch.device) -> View:
        """Convert B cameras to tensors."""

        def tensor(rows: list[np.ndarray | float | tuple[float, float]]) -> Tensor:
            return torch.from_numpy(np.array(rows, np.float32)).to(device)

        return cls(
            tensor([c.rotation for c in cameras]),
            tensor([c.pivot for c in cameras]),
            tensor([1 / c.distance for c in cameras]),
            tensor([c.scale for c in cameras]),
            tensor([c.origin for c in cameras]),
        )

    def turn(self, vertices: Tensor) -> Tensor:
        """Map (B, N, 3) cm from head to camera frame (x right, y up, z towards the camera), cm."""
        q = (vertices - self.pivot[:, None]) @ self.rotation.transpose(1, 2)
        k = self.closeness[:, None]
        near = 1 / torch.maximum(1 - q[..., 2] * k, 5 * k)
        return torch.cat([q[..., :2] * near[..., None], q[..., 2:]], 2)

    def to_pixels(self, turned: Tensor) -> Tensor:
        """Map camera frame, cm, to G-buffer px (x right, y down, z towards the camera)."""
        k = SIZE / CROP
        axes = torch.tensor([k, -k, k], device=turned.device) * self.scale[:, None]
        out = turned * axes[:, None]
        out[..., :2] += self.origin[:, None] * k
        return out
