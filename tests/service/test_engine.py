"""Crops → volumes: the network itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from protome import engine as engine_module
from protome.crops import cut, place
from protome.engine import Engine
from protome.faces import detect
from protome.grid import GRIDS, U8
from protome.image import Image
from protome.model import Model, ModelError

from .shapes import seeded


@pytest.fixture(scope="module")
def crops(sample_image: Image, model: Model) -> list[U8]:
    """The sample's face, mirrored, dimmed, and something else."""
    (face,) = detect(sample_image, min_score=0.6)
    crop = cut(sample_image, place(face.box, model.rule))
    noise = seeded(1).integers(0, 256, crop.shape, dtype=np.uint8)
    return [crop, np.ascontiguousarray(crop[:, ::-1]), crop // 2, noise, np.zeros_like(crop)]


def volumes(engine: Engine, crops: Sequence[U8]) -> list[U8]:
    level = engine.model.levels[-1]
    return [prediction.volumes[level] for prediction in engine.run(crops, [level])]


def test_volumes_have_the_shape_of_their_level(engine: Engine, crops: list[U8]) -> None:
    (prediction,) = engine.run(crops[:1], engine.model.levels)
    assert set(prediction.volumes) == set(engine.model.levels)
    for level, volume in prediction.volumes.items():
        assert volume.shape == GRIDS[level].shape
        assert volume.dtype == np.uint8


def test_a_face_fills_a_good_part(engine: Engine, crops: list[U8]) -> None:
    (face,) = volumes(engine, crops[:1])
    assert 0.1 < (face > 127).mean() < 0.7


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_batch_gives_what_singles_give(engine: Engine, crops: list[U8], count: int) -> None:
    singles = [volumes(engine, [crop])[0] for crop in crops[:count]]
    for together, alone in zip(volumes(engine, crops[:count]), singles, strict=True):
        assert np.abs(together.astype(int) - alone).max() <= 1


def test_order_and_neighbours_do_not_matter(engine: Engine, crops: list[U8]) -> None:
    forth, back = volumes(engine, crops), volumes(engine, crops[::-1])[::-1]
    for one, other in zip(forth, back, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_the_same_crop_twice_is_the_same(engine: Engine, crops: list[U8]) -> None:
    first, second = volumes(engine, [crops[0]] * 2)
    # Sums over triangles round differently from row to row: the last of 255 steps may differ.
    assert np.abs(first.astype(int) - second).max() <= 1


def test_the_same_run_twice_is_the_same(engine: Engine, crops: list[U8]) -> None:
    first, second = volumes(engine, crops[:1]), volumes(engine, crops[:1])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("max_batch", "buckets"),
    [(1, (1,)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (40, (1, 2, 4, 8, 16, 32, 40))],
)
def test_buckets_end_with_the_largest_batch(
    model: Model, max_batch: int, buckets: tuple[int, ...]
) -> None:
    small = Engine(model, provider="cpu", max_batch=max_batch)
    assert small.max_batch == max_batch
    assert small.buckets == buckets


class Session:
    """Records the shapes it is run with and answers like the network."""

    def __init__(self, model: Model, provider: str) -> None:
        self.sizes: list[int] = []
        self._model = model
        self._provider = provider

    def get_providers(self) -> list[str]:
        return [self._provider]

    def run(
        self, names: Sequence[str], inputs: dict[str, U8], options: object
    ) -> list[npt.NDArray[Any]]:
        (batch,) = inputs.values()
        self.sizes.append(len(batch))
        levels = {name: level for level, name in self._model.outputs.items()}
        rows = batch[:, 0, 0, 0]
        return [
            np.broadcast_to(rows[:, None, None, None], (len(batch), *GRIDS[levels[name]].shape))
            if name in levels
            else np.zeros((len(batch), 68, 3), np.float32)
            for name in names
        ]


@pytest.fixture(params=["CPUExecutionProvider", "CUDAExecutionProvider"])
def faked(
    request: pytest.FixtureRequest, model: Model, monkeypatch: pytest.MonkeyPatch
) -> tuple[Engine, Session]:
    session = Session(model, request.param)
    monkeypatch.setattr(engine_module, "_session", lambda *args: session)
    return Engine(replace(model, landmarks=None, pose=None), max_batch=8), session


def test_batches_are_padded_to_buckets_on_cuda_only(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    for count in range(1, 9):
        crops = [np.full((192, 192, 3), 10 * n, np.uint8) for n in range(count)]
        got = [int(volume[3, 2, 1]) for volume in volumes(engine, crops)]
        assert got == [10 * n for n in range(count)]
    if engine.provider == "CUDAExecutionProvider":
        assert session.sizes == [1, 2, 4, 4, 8, 8, 8, 8]
    else:
        assert session.sizes == list(range(1, 9))


def test_warming_up_runs_every_bucket(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    engine.warm_up()
    assert session.sizes == list(engine.buckets)


def test_a_network_that_answers_otherwise_is_refused(
    faked: tuple[Engine, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, session = faked
    monkeypatch.setattr(session, "run", lambda *args: [np.zeros((1, 9, 9, 9), np.uint8)])
    with pytest.raises(ModelError, match="the network gave"):
        volumes(engine, [np.zeros((192, 192, 3), np.uint8)])


def test_bytes_that_are_no_network_are_refused(model: Model) -> None:
    with pytest.raises(ModelError):
        Engine(replace(model, onnx=b"not a network"), provider="cpu")


def test_cuda_is_insisted_on_when_asked_for(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protome.engine.ort.get_available_providers", lambda: [])
    with pytest.raises(ModelError, match="CUDA"):
        Engine(model, provider="cuda")
    assert Engine(model, provider="auto").provider == "CPUExecutionProvider"
