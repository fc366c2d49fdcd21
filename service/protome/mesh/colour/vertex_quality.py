"""Rate the vertices of a mesh: visible in the photo or guessed, and a confidence.

confidence = look x fit. Only the expected errors of the landmarks and the curve that converts them
to a probability are measured; the rest are rules.

* look: 0 outside of the photo, ``GUESSED`` where the vertex is not visible in the photo, and from
  there up to 1 as it is seen less obliquely.
* fit: the curve of ``confidence.ErrorCalibration`` at the error expected of the vertex. That is
  the mean of the landmarks' expected errors, weighted by the inverse fourth power of the distance
  (Shepard, "A two-dimensional interpolation function for irregularly-spaced data", ACM 1968), and
  it grows with the distance to the nearest landmark: doubled at ``REACH`` face sizes. 1 if the
  model does not predict errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.confidence import ExpectedError, face_size
from protome.geometry import F32, U8, U32, Frame
from protome.mesh.colour.visibility import visibility
from protome.mesh.shape.surface import Surface

GUESSED: Final = 0.25
REACH: Final = 0.5
# Squared distance that keeps the weights finite at a landmark, square crop pixels.
CLOSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class VertexQuality:
    """Reliability of each vertex.

    Attributes:
        seen: (n,) uint8, 1 where the vertex is visible in the photo, 0 where it is guessed.
        confidence: (n,) float32, 0 to 1.
    """

    seen: U8
    confidence: F32

    def at(self, vertices: U32) -> VertexQuality:
        """Return the ratings of these vertices, given by index."""
        return VertexQuality(self.seen[vertices], self.confidence[vertices])


def rate_vertices(
    surface: Surface, frame: Frame, expected: ExpectedError | None = None
) -> VertexQuality:
    """Rate the vertices of a surface.

    Args:
        surface: in crop coordinates.
        frame: the part of the crop that the photo covers.
        expected: expected errors of the face's landmarks; None if the model does not predict them.
    """
    weight = visibility(surface, frame)
    outside = frame.inside(surface.vertices) < 0
    look = GUESSED + (1 - GUESSED) * weight
    confidence = np.where(outside, 0, look)
    if expected is not None:
        error = _expected_error(surface.vertices, expected)
        confidence *= expected.calibration.probability(error / face_size(expected.landmarks))
    return VertexQuality((weight > 0).astype(np.uint8), confidence.astype(np.float32))


def _expected_error(vertices: F32, expected: ExpectedError) -> F32:
    """Return the error expected of each vertex, (n,) crop pixels."""
    # Relative to the landmarks' centre; otherwise float32 would lose the small distances.
    middle = expected.landmarks.mean(axis=0)
    points, marks = vertices - middle, expected.landmarks - middle
    square = points @ (-2 * marks.T)
    square += (points**2).sum(axis=1)[:, None]
    square += (marks**2).sum(axis=1)
    least = np.maximum(square.min(axis=1), 0)
    # In place, because allocating this large array costs more than the arithmetic.
    np.maximum(square, 0, out=square)
    square += CLOSE
    weight = np.reciprocal(square, out=square)
    weight *= weight
    error = weight @ expected.error / weight.sum(axis=1)
    away = np.sqrt(least) / (REACH * face_size(expected.landmarks))
    return np.asarray(error * (1 + away), np.float32)
