"""A face's confidence: calibrated on synthetic heads, checked on photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from protome_export.render.drawing.random_draws import Dice
from protome_export.training.config import Config
from protome_export.training.dataset import DRAWS, degraded
from protome_export.training.shards import find_shards, read_shard

from .metrics import box_size, logistic, ranking, surface_nme
from .photos import Face
from .service import Served

# Surface NME 68 of a mesh that fits.
WITHIN: Final = 0.04
_BATCH = 32
_TO_CAMERA = np.array([1, 1, -1], np.float32)


def _degraded_crops(folder: Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield degraded crops (208, 208, 3) of the hold-out and their true landmarks (68, 3), crop px.

    Crops get covers, shadows, borders, blur and grain as in training.
    """
    generator, config = torch.Generator().manual_seed(11), Config()
    for path in find_shards(folder):
        shard = read_shard(path)
        for start in range(0, min(len(shard.images), count), _BATCH):
            images = torch.from_numpy(np.array(shard.images[start : start + _BATCH]))
            dice = Dice.thrown(generator, len(images), DRAWS)
            x = degraded(images.permute(0, 3, 1, 2).float() / 255, dice, generator, config)
            crops = (x.permute(0, 2, 3, 1) * 255 + 0.5).to(torch.uint8).numpy()
            yield from zip(crops, shard.labels.landmarks[start : start + _BATCH], strict=True)
        count -= len(shard.images)


def calibrate(served: Served, holdout: Path, count: int) -> dict[str, float]:
    """Fit the probability that a mesh fits to the logarithm of the expected error.

    Args:
        served: the exported network.
        holdout: folder of shards that were not trained on.
        count: of their samples, each degraded as in training.

    Returns:
        ``offset`` and ``slope`` of the logistic regression, ``within``, ranking (area under the
        ROC curve) and Brier score on these samples, and the share that fits.
    """
    expected, fits = [], []
    for crop, landmarks in _degraded_crops(holdout, count):
        out = served.predict(crop)
        assert out.landmarks is not None
        assert out.landmark_error is not None
        surface = served.surface(out)
        vertices = None if surface is None else surface.vertices * _TO_CAMERA
        error, _ = surface_nme(landmarks * _TO_CAMERA, vertices)
        expected.append(float(out.landmark_error.mean()) / box_size(out.landmarks))
        fits.append(error <= WITHIN)
    offset, slope = logistic(np.log(expected), np.array(fits))
    found = {"offset": offset, "slope": slope, "within": WITHIN}
    return found | _judged(np.array(expected), np.array(fits), found)


def check(faces: Sequence[Face], calibration: dict[str, float]) -> dict[str, float]:
    """Return ranking and Brier score of a calibration on photos, which it was not fitted to."""
    known = [f for f in faces if f.expected is not None]
    fits = np.array([f.figures["surface_nme_68"] <= WITHIN for f in known])
    return _judged(np.array([f.expected for f in known], float), fits, calibration)


def _judged(
    expected: np.ndarray, fits: np.ndarray, calibration: dict[str, float]
) -> dict[str, Any]:
    x = np.log(expected)
    p = 1 / (1 + np.exp(-(calibration["offset"] + calibration["slope"] * x)))
    return {
        "ranking": ranking(-x, fits),
        "brier": float(np.square(p - fits).mean()),
        "fitting": float(fits.mean()),
        "count": float(len(fits)),
    }
