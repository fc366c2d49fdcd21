"""Convert the errors that a model expects of its landmarks to a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from .geometry import F32

# Bounds of the curve's argument and of its exponent.
LEAST_ERROR: Final = 1e-6
MOST_SCORE: Final = 40.0


@dataclass(frozen=True, slots=True)
class ErrorCalibration:
    """Logistic curve from a model's expected error to a confidence; ships with the model.

    confidence = 1 / (1 + exp(-(``offset`` + ``slope`` x ln(error)))), where error is the mean
    expected landmark error divided by the size of the landmarks' box. The confidence is the
    probability that the mean distance of the 68 landmarks to the mesh is at most ``within`` times
    that size. The curve is fitted to measured errors by logistic regression.
    """

    offset: float
    slope: float
    within: float

    def confidence(self, landmarks: F32, expected: F32) -> float:
        """Return the confidence of a face, 0 to 1.

        Args:
            landmarks: (68, 3) crop coordinates.
            expected: (68,) expected error of each, crop pixels.
        """
        # Plain numbers: this runs in the event loop, and arrays would take ten times as long.
        error = max(sum(expected.tolist()) / len(expected) / face_size(landmarks), LEAST_ERROR)
        score = self.offset + self.slope * math.log(error)
        return 1 / (1 + math.exp(-min(max(score, -MOST_SCORE), MOST_SCORE)))

    def probability(self, error: F32) -> F32:
        """Evaluate the curve elementwise at errors relative to the size of the landmarks' box."""
        score = self.offset + self.slope * np.log(np.maximum(error, LEAST_ERROR))
        return np.asarray(1 / (1 + np.exp(-np.clip(score, -MOST_SCORE, MOST_SCORE))), np.float32)


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """The landmarks of a face and the errors that the model expects of them.

    Attributes:
        landmarks: (68, 3) crop coordinates.
        error: (68,) expected error of each, crop pixels.
        calibration: converts errors to a probability.
    """

    landmarks: F32
    error: F32
    calibration: ErrorCalibration

    @property
    def confidence(self) -> float:
        """Confidence of the face, 0 to 1."""
        return self.calibration.confidence(self.landmarks, self.error)


def face_size(landmarks: F32) -> float:
    """Return the square root of the area of the landmarks' box, at least 1, in crop pixels.

    Args:
        landmarks: (68, 3) crop coordinates.
    """
    x, y, _ = landmarks.T.tolist()
    return max(math.sqrt((max(x) - min(x)) * (max(y) - min(y))), 1.0)
