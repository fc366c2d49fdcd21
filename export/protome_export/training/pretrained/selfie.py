"""Selfie Segmentation (MediaPipe, Apache-2.0) as a PyTorch module: features of persons.

The network is read from ``selfie_segmentation.tflite`` in the wheel ``mediapipe==0.10.21``, the
general model: a MobileNetV3 (Howard et al., 2019) with a small decoder, 106,000 parameters, which
tells persons from what is behind them. What it computes at a quarter of the picture is used, not
its last step.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from .tflite import Source, TfliteNet

SELFIE: Final = Source(
    "mediapipe==0.10.21",
    "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
    "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
)
# Tensors of the original graph: the decoder's at a quarter and an eighth of the picture, and what
# it begins with at a sixteenth; and their channels.
MAPS: Final = (219, 193, 167)
WIDTHS: Final = (16, 24, 128)


class Selfie(TfliteNet):
    """Compute features of persons.

    Args:
        path: what `tflite.fetch` wrote of `SELFIE`.
    """

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the features of x (B, 3, S, S), RGB in 0..1, S a multiple of 16.

        Returns:
            (B, 16, S/4, S/4), (B, 24, S/8, S/8) and (B, 128, S/16, S/16).
        """
        return self.compute(x, MAPS)
