"""The finder, its batches and its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from protome_export.training.config import Config
from protome_export.training.dataset import Samples
from protome_export.training.finder.network import SIDE, FinderNet, mirrored_vote, vote_for
from protome_export.training.finder.trainer import (
    FinderTrainer,
    draw_windows,
    evaluate_finder,
    finder_loss,
    load_finder,
)
from protome_export.training.geometry import CROP
from protome_export.training.pretrained.yunet import YuNet
from protome_export.training.shape_space import Poser
from protome_export.training.window import Window
from tests.export.conftest import CONFIG
from tests.export.runs import space_of


@pytest.fixture(scope="module")
def samples(run: Path, poser: Poser) -> Samples:
    out = Samples(run / "shards", poser, space_of(run))
    out.refresh()
    return out


def _window(degrees: float, zoom: float, x: float, y: float) -> Window:
    a = np.deg2rad(degrees)
    turn = torch.tensor([[[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]], dtype=torch.float32)
    return Window(turn, torch.tensor([zoom]), torch.tensor([[x, y]]))


def test_untrained_it_finds_an_upright_face_in_the_middle() -> None:
    window = FinderNet(YuNet()).eval().find(torch.zeros(2, 3, CROP, CROP))
    assert torch.allclose(window.turn, torch.eye(2).expand(2, 2, 2))
    assert torch.allclose(window.centre, torch.full((2, 2), CROP / 2), atol=1e-3)
    assert ((window.zoom > 0.5) & (window.zoom < 0.8)).all()


def test_a_crop_and_its_half_give_the_same_window() -> None:
    torch.manual_seed(0)
    net = FinderNet(YuNet()).eval()
    torch.nn.init.normal_(net.out.weight, 0, 0.05)
    half = torch.rand(3, 3, SIDE, SIDE)
    whole = half.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert torch.allclose(net(half), net(whole), atol=1e-4)
        assert net(half).std(0).max() > 1e-3


def test_a_vote_gives_the_window_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = _window(24.0, 0.7, 90.0, 104.0)
    net = FinderNet(YuNet())
    monkeypatch.setattr(net, "forward", lambda crops: vote_for(truth) * torch.tensor(
        [2.0, 2.0, 1.0, 1.0, 1.0]))  # fmt: skip
    found = net.find(torch.zeros(1, 3, CROP, CROP))
    for part in ("turn", "zoom", "centre"):
        assert torch.allclose(getattr(found, part), getattr(truth, part), atol=1e-5), part
    votes = vote_for(truth)
    assert finder_loss(votes, votes) == 0
    assert finder_loss(vote_for(_window(24.0, 0.7, 90.0, 152.0)), votes) == pytest.approx(0.5)
    twin = vote_for(_window(-24.0, 0.7, CROP - 90.0, 104.0))
    assert torch.allclose(mirrored_vote(votes), twin, atol=1e-5)


def test_the_windows_of_a_batch_lie_around_its_faces(samples: Samples) -> None:
    still = Config(batch=6, rotate_degrees=1e-3, zoom=1e-6, move=1e-4, covered=0.0)
    crops, truth = draw_windows(samples, torch.Generator().manual_seed(0), still)
    assert crops.shape == (6, 3, SIDE, SIDE)
    assert (truth.centre > 40).all()
    assert (truth.centre < CROP - 40).all()
    moved = replace(still, rotate_degrees=40.0)
    _, other = draw_windows(samples, torch.Generator().manual_seed(0), moved)
    assert (other.turn - truth.turn).abs().max() > 0.2
    assert torch.allclose(other.zoom, truth.zoom, atol=1e-3)


def test_training_brings_the_errors_down(run: Path, samples: Samples, tmp_path: Path) -> None:
    config = replace(
        CONFIG, shards=str(run / "shards"), holdout=str(run / "shards"), batch=8, fresh=48,
        out=str(tmp_path / "finder"), steps=40, learning_rate=4e-3, rotate_degrees=5.0, ema=0.9,
        save_every=20,
    )  # fmt: skip
    before = evaluate_finder(FinderNet(YuNet()), samples, config)
    trainer = FinderTrainer(config, space_of(run))
    after = trainer.run()
    assert after.distance < 0.8 * before.distance
    assert after.zoom < 0.9 * before.zoom
    kept = load_finder(tmp_path / "finder")
    crops, _ = draw_windows(samples, torch.Generator().manual_seed(1), config)
    with torch.no_grad():
        assert (kept(crops) - trainer.ema(crops)).abs().max() < 0.3  # FP16


def test_no_shards_are_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    config = replace(CONFIG, shards=str(tmp_path / "none"), out=str(tmp_path / "finder"))
    with pytest.raises(FileNotFoundError):
        FinderTrainer(config, space_of(run))
