"""Fixtures of the model factory's tests: a tiny head of our own, nothing downloaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from protome_export.cli import main
from protome_export.heads.load import load_head
from protome_export.heads.model import HeadModel
from protome_export.render.sample import Synthesizer
from protome_export.training.config import Config, dump_config
from protome_export.training.shape_space import Poser, ShapeSpace, build_space

torch.set_num_threads(1)
cv2.setNumThreads(1)

# The smallest run there is.
CONFIG = Config(
    batch=4, steps=2, modes=8, space_heads=40, save_every=1, warmup=1, amp=False,
    encoder=(8, 8, 16, 16), blocks=(0, 0, 1, 1), decoder=(0, 1, 16), code=32,
)  # fmt: skip


@pytest.fixture(scope="session")
def head() -> HeadModel:
    return load_head("tiny")


@pytest.fixture(scope="session")
def poser(head: HeadModel) -> Poser:
    return Poser(head)


@pytest.fixture(scope="session")
def space(head: HeadModel) -> ShapeSpace:
    return build_space(head, modes=8, count=60)


@pytest.fixture(scope="session")
def synthesizer(head: HeadModel) -> Synthesizer:
    return Synthesizer(head, None)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps; shards, hold-out and run folder inside."""
    folder = tmp_path_factory.mktemp("factory")
    main(["generate", "--count", "6", "--shard", "3", str(folder / "shards")])
    main(["generate", "--count", "5", "--seed", "900", str(folder / "holdout")])
    config = replace(
        CONFIG,
        shards=str(folder / "shards"),
        holdout=str(folder / "holdout"),
        out=str(folder / "run"),
    )
    dump_config(config, folder / "run.toml")
    main(["train", str(folder / "run.toml")])
    return folder


@pytest.fixture(scope="session")
def exported(run: Path) -> Path:
    """The run, exported to ONNX."""
    main(["export", str(run / "run"), "--count", "4", "--version", "0.0.1", str(run / "release")])
    return run / "release"
