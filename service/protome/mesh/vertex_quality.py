"""How far each vertex of a mesh can be relied on: seen in the photo or guessed, and a confidence.

confidence = look x fit. Of these only the expected errors of the landmarks and the curve that makes
a probability of them are measured; the rest are rules.

* look: 0 outside of the photo, ``GUESSED`` where the photo does not see the vertex, and from there
  up to 1 as it is seen less obliquely.
* fit: the curve of ``confidence.ErrorCalibration`` at the error expected of the vertex. That is
  the mean of the landmarks' expected errors, weighted by the inverse fourth power of the distance
  (Shepard, "A two-dimensional interpolation function for irregularly-spaced data", ACM 1968), and
  it grows with the distance to the nearest landmark: twice at ``REACH`` face sizes. 1 where the
  model does not tell errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.confidence import ExpectedError, face_size
from protome.geometry import F32, U8, U32, Frame

from .surface import Surface
from .visibility import OBLIQUE, visibility

GUESSED: Final = 0.25
REACH: Final = 0.5
# Squared distance that keeps the weights finite at a landmark, square crop pixels.
CLOSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class VertexQuality:
    """How far each vertex can be relied on.

    Attributes:
        seen: (n,) uint8, 1 where the photo shows the vertex, 0 where it is guessed.
        confidence: (n,) float32, 0 to 1.
    """

    seen: U8
    confidence: F32

    def at(self, vertices: U32) -> VertexQuality:
        """Of these vertices, by their numbers."""
        return VertexQuality(self.seen[vertices], self.confidence[vertices])


def rate_vertices(
    surface: Surface, frame: Frame, expected: ExpectedError | None = None
) -> VertexQuality:
    """Judge the vertices of a surface.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that shows the photo.
        expected: None where the model does not tell.
    """
    weight = visibility(surface, frame)
    # Smoothed over neighbours, some weight reaches over the rim to what is turned away.
    seen = (weight > 0) & (-surface.normals[:, 2] > OBLIQUE)
    x, y = surface.vertices[:, 0], surface.vertices[:, 1]
    outside = (x < frame.left) | (x > frame.right) | (y < frame.top) | (y > frame.bottom)
    look = GUESSED + (1 - GUESSED) * np.where(seen, weight, 0)
    confidence = np.where(outside, 0, look)
    if expected is not None:
        error = _expected_error(surface.vertices, expected)
        confidence *= expected.calibration.probability(error / face_size(expected.landmarks))
    return VertexQuality(seen.astype(np.uint8), confidence.astype(np.float32))


def _expected_error(vertices: F32, expected: ExpectedError) -> F32:
    """Error expected of each vertex, (n,) crop pixels."""
    # About the landmarks' middle, or float32 would lose the small distances.
    middle = expected.landmarks.mean(axis=0)
    points, marks = vertices - middle, expected.landmarks - middle
    square = points @ (-2 * marks.T)
    square += (points**2).sum(axis=1)[:, None]
    square += (marks**2).sum(axis=1)
    least = np.maximum(square.min(axis=1), 0)
    # In place: the array is the largest of all, and its memory costs more than the arithmetic.
    np.maximum(square, 0, out=square)
    square += CLOSE
    weight = np.reciprocal(square, out=square)
    weight *= weight
    error = weight @ expected.error / weight.sum(axis=1)
    away = np.sqrt(least) / (REACH * face_size(expected.landmarks))
    return np.asarray(error * (1 + away), np.float32)
