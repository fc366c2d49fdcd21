"""Turn the errors that a model expects of its landmarks into a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .geometry import F32


@dataclass(frozen=True, slots=True)
class ErrorCalibration:
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
class ExpectedError:
    """What a model says about the errors of a face.

    Attributes:
        landmarks: (68, 3) crop coordinates.
        error: (68,) expected error of each, crop pixels.
        calibration: from errors to a probability.
    """

    landmarks: F32
    error: F32
    calibration: ErrorCalibration

    @property
    def confidence(self) -> float:
        """Of the face."""
        return self.calibration.confidence(self.landmarks, self.error)


def face_size(landmarks: F32) -> float:
    """Size of the landmarks' box, (68, 3) crop coordinates: the root of its area, crop pixels."""
    width, height = np.ptp(landmarks[:, :2], axis=0)
    return max(math.sqrt(float(width * height)), 1.0)
