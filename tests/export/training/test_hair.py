"""The hair network, its batches and its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from protome.geometry import CROP_SIDE
from protome_export.cli import main
from protome_export.heads.model import MIRROR68
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.looks.hair_volume import CELL, GRID, PIVOT
from protome_export.training.config import Config, dump_config
from protome_export.training.geometry import NEAREST
from protome_export.training.hair.dataset import DRAWS, HairSamples, assemble, draw_hair_batch
from protome_export.training.hair.network import COLUMNS, SLICES, HairNet
from protome_export.training.hair.trainer import HairTrainer, evaluate_hair, hair_losses, load_hair
from protome_export.training.pretrained.selfie import Selfie
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.shards import find_shards, read_hair, read_shard
from tests.export.runs import space_of


@pytest.fixture(scope="module")
def samples(run: Path) -> HairSamples:
    out = HairSamples(run / "shards", space_of(run))
    assert out.refresh() == 6
    assert out.refresh() == 6  # none twice
    return out


def test_a_shard_keeps_the_cells_of_its_samples(run: Path) -> None:
    path = find_shards(run / "shards")[0]
    hair, skull = read_hair(path)
    assert hair.shape == (3, *GRID)
    assert np.unpackbits(skull, axis=-1, count=COLUMNS).shape == (3, *GRID)


def test_a_batch_is_in_the_frame_of_the_network(samples: HairSamples) -> None:
    """The nearest point of the posed mean head lies at NEAREST; cells keep their place."""
    generator = torch.Generator().manual_seed(0)
    batch = assemble(samples, [0, 1, 4], Config(), None, generator)
    assert batch.crops.shape == (3, 3, CROP_SIDE, CROP_SIDE)
    assert batch.cells.shape == batch.weight.shape == (3, SLICES, COLUMNS, COLUMNS)
    posed = samples.mean @ (batch.rotation * batch.scale[:, None, None]).transpose(1, 2)
    nearest = (posed + batch.origin[:, None])[..., 2].amin(1)
    assert nearest.numpy() == pytest.approx([NEAREST] * 3, abs=0.01)
    _, landmarks, hair, _ = samples.take([0, 1, 4])
    depth = (torch.arange(GRID[0]) + 0.5) * CELL - PIVOT
    pivot = samples.pose(landmarks)[3]
    for b in range(3):
        stored = hair[b].float().sum((1, 2))
        found = batch.cells[b].sum((1, 2)) * 255
        if found.sum() == 0 or found[-1] > 0:  # none, or more than the grid holds
            continue
        z = (torch.arange(SLICES) + 0.5) * CELL
        middle = float((z * found).sum() / found.sum())
        want = float((depth * stored).sum() / stored.sum() + pivot[b])
        assert middle == pytest.approx(want, abs=0.2)


def test_augmentation_moves_picture_landmarks_and_cells_together(samples: HairSamples) -> None:
    """A mirrored sample is the mirror of the sample."""
    still = Config(
        batch=6, rotate_degrees=1e-4, zoom=1e-6, move=1e-4, borders=0.0, covered=0.0, shaded=0.0
    )
    generator = torch.Generator().manual_seed(0)
    rows = list(range(6))
    plain = assemble(samples, rows, still, None, generator)
    dice = Dice.thrown(generator, 6, DRAWS)
    flipped = dice.chance(0.5)
    dice.used = 0
    assert 0 < flipped.sum() < 6
    moved = assemble(samples, rows, still, dice, generator)
    for b in range(6):
        if flipped[b]:
            # The skull is as good as symmetric, hair is not: it follows the picture.
            assert (moved.cells[b] - plain.cells[b].flip(2)).abs().mean() < 0.01
            assert moved.rotation[b, 0, 2] == pytest.approx(
                -float(plain.rotation[b, 0, 2]), abs=0.1
            )
        else:
            assert (moved.cells[b] - plain.cells[b]).abs().mean() < 0.002
    assert len(MIRROR68) == 68


def test_untrained_it_gives_the_skull(samples: HairSamples, selfie: Path) -> None:
    batch = assemble(samples, [0, 1, 2], Config(), None, torch.Generator())
    net = HairNet(Selfie(selfie)).eval()
    with torch.no_grad():
        logits = net(batch.crops, batch.rotation, batch.scale, batch.origin)
    skull = batch.weight < 0.5
    assert ((logits > 0) & skull).sum() > 0.7 * skull.sum()
    assert torch.isfinite(logits).all()


def test_a_slice_that_is_off_makes_no_ridge(samples: HairSamples, selfie: Path) -> None:
    batch = assemble(samples, [0], Config(), None, torch.Generator())
    net = HairNet(Selfie(selfie)).eval()
    assert net.out.bias is not None
    with torch.no_grad():
        plain = net(batch.crops, batch.rotation, batch.scale, batch.origin)
        net.out.bias[20] = 1
        rise = (net(batch.crops, batch.rotation, batch.scale, batch.origin) - plain).amax((0, 2, 3))
    assert rise.sum() == pytest.approx(1, abs=1e-3)
    assert rise.argmax() == 20
    assert rise.max() < 0.3


def test_the_inside_of_the_skull_does_not_count(samples: HairSamples) -> None:
    batch = assemble(samples, [0], Config(), None, torch.Generator())
    logits = torch.zeros_like(batch.cells)
    other = torch.where(batch.weight == 0, 5.0, 0.0)
    assert (batch.weight == 0).any()
    assert hair_losses(logits, batch)[0] == pytest.approx(float(hair_losses(other, batch)[0]))


def test_a_few_steps_bring_the_loss_down(
    run: Path, samples: HairSamples, selfie: Path, tmp_path: Path
) -> None:
    config = Config(
        shards=str(run / "shards"), holdout=str(run / "holdout"), out=str(tmp_path / "hair"),
        selfie=str(selfie), batch=4, steps=12, warmup=1, learning_rate=3e-3, save_every=100,
    )  # fmt: skip
    trainer = HairTrainer(config, space_of(run))
    before = evaluate_hair(trainer.net, samples, 6, config)
    trainer.net.train()
    trainer.run()
    after = evaluate_hair(trainer.net, samples, 6, config)
    assert after.loss < before.loss
    again = load_hair(tmp_path / "hair")
    x = draw_hair_batch(samples, torch.Generator().manual_seed(1), config)
    with torch.no_grad():
        kept = again(x.crops, x.rotation, x.scale, x.origin)
        wanted = trainer.ema.eval()(x.crops, x.rotation, x.scale, x.origin)
    assert (kept - wanted).abs().max() < 0.2  # FP16


def test_the_command_trains(run: Path, selfie: Path, tmp_path: Path) -> None:
    config = Config(
        shards=str(run / "shards"), holdout=str(run / "holdout"), out=str(tmp_path / "hair"),
        selfie=str(selfie), batch=2, steps=1, warmup=1,
    )  # fmt: skip
    dump_config(config, tmp_path / "hair.toml")
    space = str(run / "run" / "space.npz")
    main(["train-hair", str(tmp_path / "hair.toml"), "--space", space])
    assert (tmp_path / "hair" / "checkpoint.pt").exists()


def test_no_shards_are_an_error(run: Path, selfie: Path, tmp_path: Path) -> None:
    config = Config(shards=str(tmp_path / "none"), out=str(tmp_path), selfie=str(selfie))
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError):
        HairTrainer(replace(config), ShapeSpace.load(run / "run" / "space.npz")).run()


def test_shards_of_the_old_size_are_refused(run: Path, tmp_path: Path) -> None:
    path = find_shards(run / "shards")[0]
    np.save(tmp_path / path.name, np.zeros((3, 192, 192, 3), np.uint8))
    (tmp_path / path.name).with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes())
    with pytest.raises(ValueError, match="192"):
        read_shard(tmp_path / path.name)
