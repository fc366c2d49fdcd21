"""Define a linear head model: neutral head, identity and expression deltas, landmarks, parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

# Parts of a head, one per vertex.
FACE, HEAD, MOUTH_SOCKET, EYE_SOCKET, GUMS, TEETH, EYE, OTHER, LASHES = range(9)

# Vertices of the ICT light topology.
ICT_VERTICES = 26719

# The jaw's points 0-7 and 9-16 on the jaw itself, from the authors' README ("Facial Landmarks"):
# the Multi-PIE ones lie on the outline that a frontal camera sees, some 2 cm further forward.
_ICT_JAW = (1278, 1272, 12, 1834, 243, 781, 2199, 1447)
_ICT_JAW_LEFT = (3661, 4390, 3022, 2484, 4036, 2253, 3490, 3496)

# The 68 points' mirror images (Multi-PIE order): MIRROR68[i] is the twin of point i.
MIRROR68 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        54,
        53,
        52,
        51,
        50,
        49,
        48,
        59,
        58,
        57,
        56,
        55,
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
    ]
)


@dataclass(frozen=True)
class HeadModel:
    """A linear head: neutral + identity deltas (one sigma each) + expression deltas.

    Attributes:
        neutral: (V, 3) cm, head frame.
        identity: (I, V, 3) cm.
        expression: (E, V, 3) cm.
        triangles: (T, 3) indices into ``neutral``.
        triangles_uv: (T, 3) indices into ``uv``.
        uv: (U, 2), v up; the face in tile 0..1, the back of the head in tile 1..2.
        part: (V,) part constants.
        landmarks: (68,) vertex indices in Multi-PIE order.
        people: names of the last identity modes, if `people.widen` added any.
    """

    neutral: Floats
    identity: Floats
    expression: Floats
    expression_names: tuple[str, ...]
    triangles: Ints
    triangles_uv: Ints
    uv: Floats
    triangle_material: NDArray[np.uint8]
    material_names: tuple[str, ...]
    part: NDArray[np.uint8]
    landmarks: Ints
    people: tuple[str, ...] = ()

    @property
    def landmarks_neutral(self) -> Floats:
        """Return the landmarks of the neutral head, (68, 3) cm."""
        return self.neutral[self.landmarks]

    @property
    def landmarks_on_jaw(self) -> Ints:
        """Return (68,) vertex indices with points 0-16 along the jaw, as in 3D data sets."""
        if len(self.neutral) != ICT_VERTICES:
            return self.landmarks
        out = self.landmarks.copy()
        out[:8], out[9:17] = _ICT_JAW, _ICT_JAW_LEFT
        return out
