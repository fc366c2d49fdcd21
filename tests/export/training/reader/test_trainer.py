"""Training on the tiny head: it learns and resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from protome_export.training.reader.run import load_weights, make_network
from protome_export.training.reader.trainer import Trainer
from tests.export.conftest import CONFIG
from tests.export.runs import space_of


def test_training_learns_logs_and_resumes(run: Path, mesh: Path) -> None:
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    assert len((run / "run" / "log.csv").read_text().splitlines()) == 2  # header, one row
    config = replace(
        CONFIG,
        facemesh=str(mesh),
        shards=str(run / "shards"),
        out=str(run / "longer"),
        steps=70,
        save_every=35,
        init=str(run / "run" / "checkpoint.pt"),
        rotate_degrees=0.5,
        zoom=0.01,
        move=0.5,
        covered=0.0,
        shaded=0.0,
    )
    trainer = Trainer(config)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.run()
    assert any(not torch.equal(before[k], v) for k, v in trainer.net.state_dict().items())
    rows = [r.split(",") for r in (run / "longer" / "log.csv").read_text().splitlines()]
    first = [r.split(",") for r in (run / "run" / "log.csv").read_text().splitlines()]
    assert float(rows[-1][4]) < 0.8 * float(first[1][4])  # the loss fell
    again = Trainer(replace(config, steps=71))
    assert again.step == 70
    again.run()
    assert torch.load(run / "longer" / "checkpoint.pt", weights_only=True)["step"] == 71


def test_training_makes_its_tensors_where_the_network_is(run: Path, mesh: Path) -> None:
    """With another default device, whatever is made without naming one fails."""
    config = replace(
        CONFIG, facemesh=str(mesh), shards=str(run / "shards"), holdout=str(run / "holdout")
    )
    trainer = Trainer(replace(config, out=str(run / "placed"), amp=True))
    with torch.device("meta"):
        trainer.run()
    assert trainer.step == 2


def test_checkpoint_of_another_network_is_refused(run: Path, mesh: Path) -> None:
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)["ema"]
    del state["shape.out.bias"]
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(make_network(replace(CONFIG, facemesh=str(mesh)), space_of(run)), state)
