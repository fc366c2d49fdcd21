"""Fixtures of the model factory's tests: a tiny head of our own, nothing downloaded."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from protome_export.cli import main
from protome_export.heads.load import load_head
from protome_export.heads.model import HeadModel
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.sample import Sample, Synthesizer
from protome_export.training.config import Config, dump_config
from protome_export.training.shape_space import Poser, ShapeSpace, build_space
from tests.support.pretrained import write_small_networks

torch.set_num_threads(1)
cv2.setNumThreads(1)

# The smallest run there is.
CONFIG = Config(
    batch=4, steps=2, modes=8, space_heads=40, save_every=1, warmup=1, amp=False,
    coarse=16, decoder=(0, 1, 16), code=32, facemesh_rate=0.0,
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _noise_made_once() -> Iterator[None]:
    """Share the tiles of noise: each synthesizer would spend a second on the same ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("protome_export.render.sample.NoiseBank", functools.cache(NoiseBank))
        yield


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
def samples(synthesizer: Synthesizer) -> Sequence[Sample]:
    """Render the seeds from 0 on, for the tests that only look at them."""
    return tuple(synthesizer.samples(list(range(40))))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write small random networks in the format of the pretrained ones; return their folder."""
    return write_small_networks(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="session")
def run(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of two steps of reader and finder; shards and hold-out beside them."""
    folder = tmp_path_factory.mktemp("factory")
    main(["generate", "--count", "6", "--shard", "3", str(folder / "shards")])
    main(["generate", "--count", "5", "--seed", "900", str(folder / "holdout")])
    config = replace(
        CONFIG,
        shards=str(folder / "shards"),
        holdout=str(folder / "holdout"),
        out=str(folder / "run"),
        facemesh=str(pretrained / "facemesh.npz"),
    )
    dump_config(config, folder / "run.toml")
    main(["train", str(folder / "run.toml")])
    dump_config(replace(config, out=str(folder / "finder"), fresh=8), folder / "finder.toml")
    space = str(folder / "run" / "space.npz")
    main(["train-finder", str(folder / "finder.toml"), "--space", space])
    return folder


@pytest.fixture(scope="session")
def exported(run: Path) -> Path:
    """The run, exported to ONNX."""
    main(["export", str(run / "run"), str(run / "finder"), str(run / "release"), "--count", "4",
          "--version", "0.0.1"])  # fmt: skip
    return run / "release"
