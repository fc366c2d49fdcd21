"""How a head is turned, as angles."""

from __future__ import annotations

import math

from .geometry import F32


def angles(pose: F32) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, as protome.v1.Pose defines them.

    Args:
        pose: (3, 4), from the head's own frame (x to its left, y up, z forward) to crop
            coordinates (x right, y down, z away), with any uniform scale.
    """
    # Plain numbers: for nine of them arrays take ten times as long, in the event loop.
    (x0, x1, x2), (y0, y1, y2), (z0, z1, z2) = pose[:, :3].tolist()
    aside, up, ahead = _unit(x0, -y0, -z0), _unit(x1, -y1, -z1), _unit(x2, -y2, -z2)
    yaw = math.atan2(ahead[0], ahead[2])
    pitch = math.asin(min(max(ahead[1], -1.0), 1.0))
    roll = math.atan2(aside[1], up[1])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length
