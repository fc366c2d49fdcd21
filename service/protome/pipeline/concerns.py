"""List reasons not to rely on a face's mesh."""

from __future__ import annotations

import enum
from typing import Final

import numpy as np

from protome.geometry import CROP_SIDE, F32, Frame, angles

# Photo pixels across the crop; with fewer, the network's input is an enlarged picture.
FEW_PIXELS: Final = 78
# Yaw and pitch in degrees beyond which less than half of the face is visible.
FAR_TURNED: Final = (70.0, 40.0)
# Blur effect of the face: at most 0.70 for 31 sharp photos; above 0.80 for 6 of them after a
# Gaussian blur of 2 crop pixels, for 30 after 3, and for all after 4 to 16.
BLURRY: Final = 0.80
# Share of the landmarks that lie outside of the photo.
CUT: Final = 0.05
UNSURE: Final = 0.5


class Concern(enum.IntEnum):
    """Reasons not to rely on a mesh; the values are those of protome.v1.Concern."""

    FEW_PIXELS = 1
    EXTREME_POSE = 2
    CUT_BY_BORDER = 3
    BLURRED = 4
    LOW_CONFIDENCE = 5
    COVERED = 6


def concerns(
    *,
    pixel: float,
    blur: float,
    frame: Frame,
    landmarks: F32 | None,
    pose: F32 | None,
    confidence: float | None,
    covered: bool,
) -> list[Concern]:
    """Return the reasons not to rely on a face's mesh.

    Args:
        pixel: photo pixels per crop pixel.
        blur: from :func:`protome.image.crop.blur_effect`.
        frame: the part of the crop that the photo covers.
        landmarks: (68, 3) crop coordinates, or None.
        pose: (3, 4) as in :class:`protome.model.engine.Prediction`, or None.
        confidence: from :meth:`protome.confidence.ErrorCalibration.confidence`, or None.
        covered: from :meth:`protome.model.card.Model.is_covered`.
    """
    found = []
    if pixel * CROP_SIDE < FEW_PIXELS:
        found.append(Concern.FEW_PIXELS)
    if pose is not None:
        yaw, pitch, _ = angles(pose)
        if abs(yaw) > FAR_TURNED[0] or abs(pitch) > FAR_TURNED[1]:
            found.append(Concern.EXTREME_POSE)
    if landmarks is not None and np.count_nonzero(frame.inside(landmarks) < 0) > CUT * len(
        landmarks
    ):
        found.append(Concern.CUT_BY_BORDER)
    if blur > BLURRY:
        found.append(Concern.BLURRED)
    if confidence is not None and confidence < UNSURE:
        found.append(Concern.LOW_CONFIDENCE)
    # To the network, blur and what lies outside of the photo look like something in front.
    if covered and Concern.BLURRED not in found and Concern.CUT_BY_BORDER not in found:
        found.append(Concern.COVERED)
    return found
