"""Crops to measure with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from protome.geometry import CROP_SIDE
from protome.sample import SAMPLE


def sample_crops(count: int) -> NDArray[np.uint8]:
    """Crops (count, 208, 208, 3): the sample photo's face, turned, moved and dimmed at random."""
    photo = cv2.imread(str(SAMPLE))
    assert photo is not None
    photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    side, random = min(photo.shape[:2]), np.random.default_rng(0)
    out = []
    for _ in range(count):
        angle, zoom = random.normal(0, 15), CROP_SIDE / side * random.uniform(0.8, 1.6)
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, zoom)
        matrix[:, 2] += CROP_SIDE / 2 - side / 2 + random.normal(0, 10, 2)
        crop = cv2.warpAffine(photo, matrix, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_AREA)
        out.append((crop * random.uniform(0.5, 1.0)).astype(np.uint8))
    return np.stack(out)
