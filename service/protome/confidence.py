"""How far a face's mesh can be relied on, and what speaks against it."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from .geometry import CROP_SIDE, F32, U8, Frame, angles

# Photo pixels across the crop below which the network sees an enlarged picture.
FEW_PIXELS: Final = 72
# Degrees from facing the camera beyond which less than half of the face is seen.
FAR_TURNED: Final = (70.0, 40.0)
# Blur effect of the crop's middle: below 0.56 for 99 of 100 photos, above 0.75 for the same
# blurred by a Gaussian of 3 crop pixels.
BLURRY: Final = 0.75
# Share of the landmarks outside of the photo.
CUT: Final = 0.05
UNSURE: Final = 0.5


class Concern(enum.IntEnum):
    """What speaks against a mesh; the values are those of protome.v1.Concern."""

    FEW_PIXELS = 1
    EXTREME_POSE = 2
    CUT_BY_BORDER = 3
    BLURRED = 4
    LOW_CONFIDENCE = 5


@dataclass(frozen=True, slots=True)
class Reliance:
    """How a model's expected error becomes a confidence; measured, it ships with the model.

    confidence = 1 / (1 + exp(-(``offset`` + ``slope`` x ln(error)))), the error being the mean
    landmark error over the size of the landmarks' box. It is the probability that the mean distance
    of the 68 landmarks to the mesh is at most ``within`` times that size.
    """

    offset: float
    slope: float
    within: float

    def confidence(self, landmarks: F32, expected: F32) -> float:
        """Of a face.

        Args:
            landmarks: (68, 3) crop coordinates.
            expected: (68,) expected error of each, crop pixels.
        """
        mean = np.array([expected.mean()], np.float32)
        return float(self.probability(mean / face_size(landmarks))[0])

    def probability(self, error: F32) -> F32:
        """The curve, at errors relative to the size of the landmarks' box; elementwise."""
        score = self.offset + self.slope * np.log(np.maximum(error, 1e-6))
        return np.asarray(1 / (1 + np.exp(-np.clip(score, -40, 40))), np.float32)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a model says about the errors of a face.

    Attributes:
        landmarks: (68, 3) crop coordinates.
        error: (68,) expected error of each, crop pixels.
        reliance: from errors to a probability.
    """

    landmarks: F32
    error: F32
    reliance: Reliance

    @property
    def confidence(self) -> float:
        """Of the face."""
        return self.reliance.confidence(self.landmarks, self.error)


def face_size(landmarks: F32) -> float:
    """Size of the landmarks' box, (68, 3) crop coordinates: the root of its area, crop pixels."""
    width, height = np.ptp(landmarks[:, :2], axis=0)
    return max(math.sqrt(float(width * height)), 1.0)


def blur_effect(crop: U8) -> float:
    """How blurred the middle of a crop, (192, 192, 3) uint8 RGB, is: 0 sharp, 1 without detail.

    Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", SPIE 2007: the share of the gradient that a further blur would leave.
    """
    side = crop.shape[0]
    low, high = side // 5, side * 4 // 5
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[low:high, low:high].astype(np.float32)
    shares = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        own = np.abs(np.diff(grey, axis=axis))
        left = np.abs(np.diff(cv2.blur(grey, kernel), axis=axis))
        lost = np.maximum(0, own - left).sum()
        shares.append(1 - float(lost) / max(float(own.sum()), 1e-6))
    return max(shares)


def concerns(
    *,
    pixel: float,
    blur: float,
    frame: Frame,
    landmarks: F32 | None,
    pose: F32 | None,
    confidence: float | None,
) -> list[Concern]:
    """What speaks against a face's mesh.

    Args:
        pixel: photo pixels in a crop pixel.
        blur: from :func:`blur_effect`.
        frame: the part of the crop that the photo covers.
        landmarks: (68, 3) crop coordinates, or None.
        pose: (3, 4) as in :class:`protome.model.engine.Prediction`, or None.
        confidence: from :meth:`Reliance.confidence`, or None.
    """
    found = []
    if pixel * CROP_SIDE < FEW_PIXELS:
        found.append(Concern.FEW_PIXELS)
    if pose is not None:
        yaw, pitch, _ = angles(pose)
        if abs(yaw) > FAR_TURNED[0] or abs(pitch) > FAR_TURNED[1]:
            found.append(Concern.EXTREME_POSE)
    if landmarks is not None and _outside(landmarks, frame) > CUT:
        found.append(Concern.CUT_BY_BORDER)
    if blur > BLURRY:
        found.append(Concern.BLURRED)
    if confidence is not None and confidence < UNSURE:
        found.append(Concern.LOW_CONFIDENCE)
    return found


def _outside(landmarks: F32, frame: Frame) -> float:
    x, y = landmarks[:, 0], landmarks[:, 1]
    inside = (x >= frame.left) & (x <= frame.right) & (y >= frame.top) & (y <= frame.bottom)
    return 1 - float(inside.mean())
