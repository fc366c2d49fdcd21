"""Encode the picture of a texture."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from protome.geometry import U8

JPEG_QUALITY: Final = 90
# Longest side below which a picture is not made smaller to save bytes.
LEAST_SIDE: Final = 16


def write_jpeg(picture: U8, max_side: int = 0, max_bytes: int = 0) -> bytes:
    """Write a picture as JPEG, reduced as far as the limits demand.

    Args:
        picture: (h, w, 3) uint8 sRGB.
        max_side: longest side, pixels; 0: no limit.
        max_bytes: largest file; 0: no limit. If not even ``LEAST_SIDE`` fits, that is returned.
    """
    side = longest = max(picture.shape[:2])
    if max_side:
        side = min(side, max_side)
    while True:
        data = _write(picture, side / longest)
        if not 0 < max_bytes < len(data) or side <= LEAST_SIDE:
            return data
        # The bytes grow slower than the area.
        share = min(0.9 * math.sqrt(max_bytes / len(data)), 0.8)
        side = max(int(side * share), LEAST_SIDE)


def _write(picture: U8, scale: float) -> bytes:
    if scale < 1:
        height, width = (max(1, round(scale * n)) for n in picture.shape[:2])
        picture = np.asarray(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
