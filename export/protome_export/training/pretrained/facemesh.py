"""Face Mesh v1 (MediaPipe, Apache-2.0) as a PyTorch module: trunk, landmarks and presence score.

The network is read from ``face_landmark.tflite`` in the wheel ``mediapipe==0.10.21`` (Kartynnik et
al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019): 604,685
parameters, 35 MMAC at 192 px.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from .tflite import Source, TfliteNet

FACEMESH: Final = Source(
    "mediapipe==0.10.21",
    "mediapipe/modules/face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
)
SIDE: Final = 192  # px of the picture it was trained on

# Tensors of the original graph: PReLU outputs before each reduction of size, and the two outputs.
MAPS: Final = (53, 83, 113, 141)
WIDTHS: Final = (32, 64, 128, 128)
_SCORE, _LANDMARKS = 210, 213

# The 68 of its 468 points that lie where the 68 landmarks of Multi-PIE do.
POINTS68: Final = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip


class FaceMesh(TfliteNet):
    """Compute features, landmarks and the presence score.

    Args:
        path: what `tflite.fetch` wrote of `FACEMESH`.
    """

    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the features of x (B, 3, S, S), RGB in 0..1.

        Returns:
            (B, 32, S/4, S/4), (B, 64, S/8, S/8), (B, 128, S/16, S/16) and (B, 128, S/32, S/32).
        """
        return self.compute(x, MAPS)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Compute features, landmarks and presence score of x (B, 3, 192, 192), RGB in 0..1.

        Returns:
            `maps`; landmarks (B, 468, 3), px of that picture, z away from the camera; presence
            score (B,), a logit.
        """
        values = self.run(x, len(self.steps))
        landmarks = values[_LANDMARKS].reshape(-1, 468, 3)
        return [values[k] for k in MAPS], landmarks, values[_SCORE].reshape(-1)
