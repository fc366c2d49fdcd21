from pathlib import Path

import numpy as np
import torch

from protome_export.render.drawing.random_draws import Dice
from protome_export.render.sample import Synthesizer
from protome_export.training.config import Config
from protome_export.training.dataset import Samples, Stored, augmented, draw_batch, mirrored
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.shards import write_shard


def test_augmentation_moves_landmarks_with_the_pixels() -> None:
    config = Config(rotate_degrees=15, zoom=0.15, move=8, any_roll=0.2)
    rng = np.random.default_rng(0)
    marks = rng.uniform(70, 120, (10, 2))
    y, x = np.mgrid[0:192, 0:192] + 0.5
    near = (x - marks[:, :1, None]) ** 2 + (y - marks[:, 1:, None]) ** 2 < 49
    images = torch.from_numpy(near[..., None].repeat(3, -1).astype(np.uint8) * 255)
    points = np.concatenate([marks, np.full((10, 1), 5)], 1).astype(np.float32)
    landmarks = torch.from_numpy(points)[:, None].expand(-1, 68, -1)
    dice = Dice(range(10), 0, torch.device("cpu"))
    small, moved = augmented(images, landmarks, dice, config)
    weight = small[:, 0]
    at = torch.arange(96) + 0.5
    seen = torch.stack([(weight * at).sum((1, 2)), (weight * at[:, None]).sum((1, 2))], 1)
    seen = seen / weight.sum((1, 2))[:, None] * 2
    assert (seen - moved[:, 0, :2]).abs().max() < 0.35
    assert (seen - landmarks[:, 0, :2]).abs().max() > 5


def test_a_mirror_image_is_of_the_mirrored_head(space: ShapeSpace) -> None:
    images = torch.zeros(2, 192, 192, 3, dtype=torch.uint8)
    images[:, 10, 20] = 255
    landmarks = torch.rand(2, 68, 3) * 100
    k = torch.randn(2, len(space.modes))
    flip = torch.tensor([True, False])
    mirror = torch.from_numpy(space.mirror.astype(np.float32))
    out = mirrored(Stored(images, landmarks, k), flip, mirror)
    assert out.images[0, 10, 171].eq(255).all()
    assert out.images[1, 10, 20].eq(255).all()
    assert torch.equal(out.landmarks[1], landmarks[1])
    assert torch.allclose(out.landmarks[0, 0, 0], 192 - landmarks[0, 16, 0])
    assert torch.allclose(out.landmarks[0, 0, 1:], landmarks[0, 16, 1:])
    assert torch.allclose(out.coefficients[0], mirror @ k[0], atol=1e-5)


def test_batches_hold_consistent_targets(
    synthesizer: Synthesizer, poser: Poser, space: ShapeSpace, tmp_path: Path
) -> None:
    write_shard(synthesizer, tmp_path, 0, 6)
    samples = Samples(tmp_path, poser, space)
    assert samples.refresh() == 6
    write_shard(synthesizer, tmp_path, 6, 2)
    assert samples.refresh() == 8
    batch = draw_batch(samples, torch.Generator().manual_seed(0), Config(batch=16))
    assert batch.windows.shape == (16, 3, 192, 192)
    assert float(batch.windows.min()) >= 0
    assert float(batch.windows.max()) <= 1
    assert batch.landmarks[..., 2].mean(1).abs().max() < 1e-3
    assert batch.coefficients.shape == (16, len(space.modes))
    assert torch.isfinite(batch.coefficients).all()
    assert (tmp_path / "000000000000.coefficients.npz").exists()


def test_batches_are_made_on_the_device_asked_for(
    synthesizer: Synthesizer, poser: Poser, space: ShapeSpace, tmp_path: Path
) -> None:
    write_shard(synthesizer, tmp_path, 0, 4)
    cpu = torch.device("cpu")
    generator = torch.Generator(cpu).manual_seed(3)
    with torch.device("meta"):
        samples = Samples(tmp_path, poser, space, cpu)
        samples.refresh()
        batch = draw_batch(samples, generator, Config(batch=8))
    assert {batch.windows.device, batch.landmarks.device, batch.coefficients.device} == {cpu}
