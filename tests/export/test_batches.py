from pathlib import Path

import numpy as np
import torch

from protome_export.batches import Samples, _augment, draw_batch
from protome_export.config import Config
from protome_export.shapespace import Poser, ShapeSpace
from protome_export.shards import write_shard
from protome_export.synth import Synthesizer


def test_augmentation_moves_landmarks_with_the_pixels() -> None:
    rng = np.random.default_rng(0)
    config = Config(rotate_degrees=15, zoom=0.15, move=8)
    for _ in range(10):
        image = np.zeros((192, 192, 3), np.uint8)
        mark = rng.uniform(70, 120, 2)
        y, x = np.mgrid[0:192, 0:192] + 0.5
        image[((x - mark[0]) ** 2 + (y - mark[1]) ** 2) < 49] = 255
        points = np.tile(np.array([*mark, 5.0], np.float32), (68, 1))
        small, moved = _augment(image, points, rng, config)
        weight = small[..., 0].astype(float)
        y, x = np.mgrid[0:96, 0:96] + 0.5
        seen = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum() * 2
        assert np.abs(seen - moved[0, :2]).max() < 0.35


def test_batches_hold_consistent_targets(
    synthesizer: Synthesizer, poser: Poser, space: ShapeSpace, tmp_path: Path
) -> None:
    write_shard(synthesizer, tmp_path, 0, 6)
    samples = Samples(tmp_path, poser, space)
    assert samples.refresh() == 6
    write_shard(synthesizer, tmp_path, 6, 2)
    assert samples.refresh() == 8
    batch = draw_batch(samples, np.random.default_rng(0), Config(batch=16))
    assert batch.crops.shape == (16, 3, 96, 96)
    assert float(batch.crops.min()) >= 0
    assert float(batch.crops.max()) <= 1
    assert batch.landmarks[..., 2].mean(1).abs().max() < 1e-3
    assert batch.coefficients.shape == (16, len(space.modes))
    assert torch.isfinite(batch.coefficients).all()
    assert (tmp_path / "000000000000.coefficients.npz").exists()
