"""Run the face detector on a picture.

YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023) with the weights of libfacedetection; ``protome_export.release.detector`` made the file.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from protome.geometry import U8

# See model/session.py.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

FILE: Final = Path(__file__).parent / "weights" / "detector.onnx"
# Pixels of a cell of each output; the sides of its input are multiples of the last.
STRIDES: Final = (8, 16, 32)
OUTPUTS: Final = [f"{kind}_{stride}" for kind in ("score", "box") for stride in STRIDES]
# Least score of a detection, and least overlap (intersection over union) with a surer one that
# makes it the same face.
LEAST_SCORE: Final = 0.2
SAME: Final = 0.45
# The crop rule was measured with boxes that libfacedetection rounds down, by this on average.
ROUNDED_DOWN: Final = 0.5
# Bytes of a picture up to which the memory of a run is kept for the next.
KEPT: Final = 3 * 640 * 640


class Detection(NamedTuple):
    """A box in pixels, which may extend beyond the picture, and its score, 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    score: float


def run_detector(rgb: U8) -> list[Detection]:
    """Return what looks like an upright face in a picture, surest first.

    Args:
        rgb: (h, w, 3) uint8.
    """
    height, width = rgb.shape[:2]
    below, right = -height % STRIDES[-1], -width % STRIDES[-1]
    padded = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_CONSTANT)
    feeds = {"picture": cv2.dnn.blobFromImage(padded)}
    outputs = _session().run(OUTPUTS, feeds, _shrinking() if rgb.size > KEPT else None)
    found = []
    for stride, scores, boxes in zip(STRIDES, outputs[:3], outputs[3:], strict=True):
        rows, columns = np.nonzero(scores[0, 0] >= LEAST_SCORE)
        dx, dy, *logs = boxes[0, :, rows, columns].T
        w, h = stride * np.exp(logs)
        x, y = stride * (columns + dx) - w / 2, stride * (rows + dy) - h / 2
        found.append(np.stack([x, y, w, h, scores[0, 0, rows, columns]], axis=1))
    every = np.concatenate(found)
    every[:, :4] -= ROUNDED_DOWN
    detections = [Detection(*row) for row in every.tolist()]
    surest = cv2.dnn.NMSBoxes(
        [one[:4] for one in detections], [one.score for one in detections], LEAST_SCORE, SAME
    )
    return [detections[i] for i in surest]


@functools.cache
def _session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A worker has one core.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Patterns are learned for each size of the input, and pictures have many.
    options.enable_mem_pattern = False
    return ort.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])


@functools.cache
def _shrinking() -> ort.RunOptions:
    """Return the options of a run that frees its memory."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
