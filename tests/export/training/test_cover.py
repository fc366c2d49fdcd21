"""The cover network, its batches and its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from protome_export.cli import main
from protome_export.render.drawing.random_draws import Dice
from protome_export.training.config import Config, dump_config
from protome_export.training.cover.dataset import (
    DRAWS,
    CoverBatch,
    CoverSamples,
    assemble,
    examples,
)
from protome_export.training.cover.network import CELLS, CoverNet
from protome_export.training.cover.trainer import CoverTrainer, load_cover, score
from protome_export.training.pretrained.facemesh import FaceMesh
from protome_export.training.shape_space import ShapeSpace
from tests.export.runs import space_of


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("covered")
    main(["generate", "--covered", "--count", "6", "--shard", "3", str(folder)])
    return folder


@pytest.fixture(scope="module")
def samples(run: Path, shards: Path) -> CoverSamples:
    out = CoverSamples(shards, space_of(run))
    assert out.refresh() == 6
    assert out.refresh() == 6  # none twice
    return out


def settings(shards: Path, mesh: Path, out: Path) -> Config:
    return Config(
        shards=str(shards), holdout=str(shards), out=str(out), facemesh=str(mesh), batch=4,
        steps=12, warmup=1, learning_rate=3e-3, fresh=10,
    )  # fmt: skip


def test_the_share_of_a_region_is_that_of_its_cells() -> None:
    inner = torch.zeros(1, 3, CELLS, CELLS)
    inner[0, 0, 2, 2:6], inner[0, 1, 5, 5] = 1, 0.5
    hidden = torch.zeros(1, CELLS, CELLS)
    hidden[0, 2, 2], hidden[0, 5, 5], hidden[0, 9] = 1, 0.5, 1
    batch = CoverBatch(torch.empty(0), inner, hidden)
    assert batch.shares[0].tolist() == pytest.approx([0.25, 0.5, 0])
    assert batch.seen[0].tolist() == [True, True, False]


def test_the_network_reads_the_same_shares_from_its_cells() -> None:
    cells = torch.full((1, 4, CELLS, CELLS), -20.0)
    cells[0, 0, 2, 2:6], cells[0, 1, 5, 5] = 20, 20
    cells[0, 3, 2, 2], cells[0, 3, 5, 5] = 20, 0
    assert CoverNet().shares(cells)[0, :2].tolist() == pytest.approx([0.25, 0.5], abs=0.01)


def test_augmentation_moves_pictures_and_cells_together(samples: CoverSamples) -> None:
    """A mirrored sample is the mirror of the sample."""
    still = Config(rotate_degrees=1e-4, zoom=1e-6, move=1e-4, borders=0.0, covered=0.0, shaded=0.0)
    generator, rows = torch.Generator().manual_seed(0), list(range(6))
    plain = assemble(samples, rows, still, None, generator)
    dice = Dice.thrown(generator, 6, DRAWS)
    flipped = dice.chance(0.5)
    dice.used = 0
    assert 0 < flipped.sum() < 6
    moved = assemble(samples, rows, still, dice, generator)
    for b in range(6):
        for was, now in ((plain.inner[b], moved.inner[b]), (plain.hidden[b], moved.hidden[b])):
            wanted = was.flip(-1) if flipped[b] else was
            assert (now - wanted).abs().mean() < 0.01
        assert torch.allclose(moved.shares[b], plain.shares[b], atol=0.05)


def test_what_training_puts_over_windows_is_in_the_truth(samples: CoverSamples) -> None:
    def drawn(share: float) -> CoverBatch:
        generator = torch.Generator().manual_seed(1)
        dice = Dice.thrown(generator, 6, DRAWS)
        return assemble(samples, list(range(6)), Config(covered=share), dice, generator)

    more, none = drawn(1.0), drawn(0.0)
    assert torch.equal(more.inner, none.inner)
    added = (more.hidden - none.hidden).sum((1, 2))
    assert (added >= 0).all()
    assert (added > 1).sum() >= 3


def test_maps_are_those_of_the_windows(samples: CoverSamples, mesh: Path) -> None:
    trunk = FaceMesh(mesh).eval()
    found = examples(samples, trunk, Config(), 6, None)
    batch = assemble(samples, list(range(6)), Config(), None, torch.Generator())
    with torch.no_grad():
        wanted = trunk.maps(batch.windows)[1:]
    maps, truth = found.rows(torch.tensor([4, 1]))
    for mine, own in zip(maps, wanted, strict=True):
        assert torch.allclose(mine, own[[4, 1]], atol=0.01, rtol=0.01)
    assert torch.allclose(truth.shares, batch.shares[[4, 1]], atol=0.01)
    assert len(examples(samples, trunk, Config(), 10, 3)) == 10  # each in turn, augmented


def test_scores() -> None:
    true, found = np.array([0, 0, 0.5, 0.5, 0.1]), np.array([0, 0.3, 0.4, 0.1, 0.9])
    result = score(true.astype(np.float32), found.astype(np.float32), 0.2)
    assert (result.recall, result.false_alarms) == (0.5, 0.5)
    assert result.error == pytest.approx((0.3 + 0.1 + 0.4 + 0.8) / 5)


def test_training_brings_the_loss_down_and_keeps_the_weights(
    run: Path, shards: Path, mesh: Path, tmp_path: Path
) -> None:
    config = settings(shards, mesh, tmp_path / "cover")
    trainer = CoverTrainer(config, space_of(run))
    rows = torch.arange(10)
    before = float(trainer.loss(rows).detach())
    assert len(trainer.run()) == 4
    assert float(trainer.loss(rows).detach()) < before
    again, (maps, _) = load_cover(tmp_path / "cover"), trainer.held.rows(slice(None))
    with torch.no_grad():
        assert (again(maps) - trainer.ema(maps)).abs().max() < 0.01  # FP16


def test_the_command_trains(run: Path, shards: Path, mesh: Path, tmp_path: Path) -> None:
    config = replace(settings(shards, mesh, tmp_path / "cover"), steps=1)
    dump_config(config, tmp_path / "cover.toml")
    space = str(run / "run" / "space.npz")
    main(["train-covered", str(tmp_path / "cover.toml"), "--space", space])
    assert (tmp_path / "cover" / "checkpoint.pt").exists()


@pytest.mark.parametrize("folder", ["shards", "run"])
def test_shards_without_covers_are_refused(
    run: Path, mesh: Path, tmp_path: Path, folder: str
) -> None:
    config = settings(run / folder, mesh, tmp_path)
    with pytest.raises(FileNotFoundError):
        CoverTrainer(config, ShapeSpace.load(run / "run" / "space.npz"))
