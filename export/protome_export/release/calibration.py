"""Numbers that a network gets after training, measured on synthetic crops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from protome_export.heads.model import Floats
from protome_export.training.joined import JoinedNet, measure_offsets


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        constant: px of a landmark's expected error.
        factor: of the width of its heat, which is added.
        offsets: (68, 3) cm, see `joined.measure_offsets`; None: not measured.
    """

    constant: float = 0.0
    factor: float = 1.0
    offsets: Floats | None = None

    def save(self, path: Path) -> None:
        """Write JSON."""
        offsets = None if self.offsets is None else self.offsets.astype(float).tolist()
        entries = {"constant": self.constant, "factor": self.factor, "offsets": offsets}
        path.write_text(json.dumps(entries) + "\n")

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote."""
        z = json.loads(path.read_text())
        offsets = None if z["offsets"] is None else np.array(z["offsets"], np.float32)
        return cls(float(z["constant"]), float(z["factor"]), offsets)


def calibrate(
    net: JoinedNet, crops: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> Calibration:
    """Measure Face Mesh's offsets, set them in the network, and then its expected errors.

    Args:
        net: the network.
        crops: (n, 192, 192, 3) RGB, the finder's part of renders.
        landmarks: (n, 68, 3) their true places, px of these.
    """
    net.offsets.copy_(measure_offsets(net, crops, landmarks))
    return Calibration(*expected_error(net, crops, landmarks), net.offsets.numpy().copy())


def expected_error(
    net: JoinedNet, crops: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> tuple[float, float]:
    """Fit the error of a landmark to the width of its heat, by least squares.

    Returns:
        The constant, px, and the factor of the width.
    """
    truth = landmarks - landmarks.mean(1, keepdims=True) * np.array([0, 0, 1], np.float32)
    width, error = [], []
    for i in range(0, len(crops), 32):
        x = torch.from_numpy(crops[i : i + 32]).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            out = net(x)
        width.append(out.width.mean(1).numpy())
        error.append(np.linalg.norm(out.landmarks.numpy() - truth[i : i + 32], axis=2).mean(1))
    w = np.concatenate(width)
    table = np.stack([np.ones(len(w)), w], 1)
    constant, factor = np.linalg.lstsq(table, np.concatenate(error), rcond=None)[0]
    return float(constant), float(factor)
