"""Group photos for fairness tables: grey or colour, and apparent skin tone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GREY = 6.0  # mean CIELAB chroma below which a picture counts as grey


def group_of(crop: NDArray[np.uint8], landmarks: np.ndarray) -> str:
    """Return "grey", or the apparent tone of cheeks and nose: "dark", "medium" or "light".

    The tone is the individual typology angle (Chardon et al. 1991) of what the picture shows, so
    light counts as well as skin.

    Args:
        crop: (208, 208, 3) RGB.
        landmarks: (68, >=2) crop px.
    """
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    p = landmarks[:, :2]
    hull = np.stack([p[36], p[45], p[54], p[48]]).astype(np.int32)
    mask = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(hull), (1,))
    inside = lab[mask > 0]
    if len(inside) < 20:
        return "unknown"
    light, a, b = np.median(inside, 0)
    if np.hypot(lab[..., 1], lab[..., 2]).mean() < _GREY:
        return "grey"
    angle = np.rad2deg(np.arctan2(light - 50, max(float(np.hypot(a, b)) * 0.7, 1.0)))
    return "light" if angle > 28 else "medium" if angle > -10 else "dark"
