"""How a head is turned, as angles."""

from __future__ import annotations

import numpy as np

from .grid import F32


def angles(pose: F32) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, as protome.v1.Pose defines them.

    Args:
        pose: (3, 4), from the head's own frame (x to its left, y up, z forward) to crop
            coordinates (x right, y down, z away), with any uniform scale.
    """
    turned = np.asarray(pose[:, :3], np.float64) * np.array([[1.0], [-1.0], [-1.0]])
    turned /= np.linalg.norm(turned, axis=0, keepdims=True)
    ahead, aside, up = turned[:, 2], turned[:, 0], turned[:, 1]
    yaw = np.arctan2(ahead[0], ahead[2])
    pitch = np.arcsin(np.clip(ahead[1], -1, 1))
    roll = np.arctan2(aside[1], up[1])
    yaw, pitch, roll = np.degrees([yaw, pitch, roll])
    return float(yaw), float(pitch), float(roll)
