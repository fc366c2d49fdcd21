"""Crops → volumes: the network itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from protome.geometry import GRIDS, U8, Level, resample
from protome.model.card import Model, ModelError
from protome.model.engine import Engine
from protome.model.session import Runner
from tests.unit.model.outputs import Feeds, Wrapped, standard, volumes, with_session


def test_volumes_have_the_shape_of_their_level(engine: Engine, crops: list[U8]) -> None:
    (prediction,) = engine.run(crops[:1], [engine.model.levels])
    assert set(prediction.volumes) == set(engine.model.levels)
    for level, volume in prediction.volumes.items():
        assert volume.shape == GRIDS[level].shape
        assert volume.dtype == np.uint8


def test_each_face_has_the_levels_it_wants(engine: Engine, crops: list[U8]) -> None:
    """What few want is made of their rows only: FINE is eight times STANDARD, and costs more than
    the rest of the network. Two of it are two runs, where batches gain nothing."""
    both, fine = [Level.STANDARD, Level.FINE], [Level.FINE]
    wanted = [[Level.STANDARD], both, fine]
    spy = Spy(engine.session)
    engine = with_session(engine, spy)
    found = engine.run(crops[:3], wanted)
    assert [list(prediction.volumes) for prediction in found] == wanted
    assert spy.rows == [[], [0], [0]]
    found += engine.run(crops[:2], [[Level.STANDARD], fine])
    assert spy.rows[3:] == [[1]]
    again, first = (np.asarray(found[face].landmarks) for face in (4, 1))
    np.testing.assert_allclose(again, first, atol=0.01)
    apart = np.abs(found[4].volumes[Level.FINE].astype(int) - found[1].volumes[Level.FINE])
    assert apart.max() <= 1
    for prediction in (found[1], found[4]):
        pooled = resample(prediction.volumes[Level.FINE], Level.STANDARD) > 127
        coarse = found[1].volumes[Level.STANDARD] > 127
        assert (pooled & coarse).sum() > 0.97 * (pooled | coarse).sum()


class Spy(Wrapped):
    """``rows`` are what FINE was wanted of, run by run."""

    def __init__(self, session: Runner) -> None:
        super().__init__(session)
        self.rows: list[list[int]] = []

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        self.rows.append(feeds["fine_rows"].tolist())
        return super().run(feeds, outputs)


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
        self.rows: list[list[int]] = []
        self._model = model
        self.provider = provider

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        batch = feeds["crops"]
        self.sizes.append(len(batch))
        self.rows += [feeds[name].tolist() for name in self._model.rows.values()]
        levels = {name: level for level, name in self._model.outputs.items()}
        return {
            name: self._volumes(levels[name], feeds)
            if name in levels
            else np.zeros((len(batch), 68, 3), np.float32)
            for name in outputs
        }

    def _volumes(self, level: Level, feeds: Feeds) -> npt.NDArray[Any]:
        marks = feeds["crops"][:, 0, 0, 0]
        if level in self._model.rows:
            marks = marks[feeds[self._model.rows[level]]]
        return np.broadcast_to(marks[:, None, None, None], (len(marks), *GRIDS[level].shape))


@pytest.fixture(params=["CPUExecutionProvider", "CUDAExecutionProvider"])
def faked(request: pytest.FixtureRequest, model: Model) -> tuple[Engine, Session]:
    session = Session(model, request.param)
    volumes_only = replace(model, landmarks=None, pose=None, landmark_error=None)
    return Engine(volumes_only, max_batch=8, session=session), session


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


def test_large_volumes_are_made_one_at_a_time(engine: Engine, crops: list[U8]) -> None:
    """Each more would be memory that ONNX Runtime never gives back."""
    crowd = Crowd(engine.session)
    engine = with_session(engine, crowd)
    with ThreadPoolExecutor(4) as threads:
        for level, most in ((Level.FINE, 1), (Level.STANDARD, 4)):
            crowd.most = 0
            runs = [threads.submit(engine.run, crops[:1], [[level]]) for _ in range(4)]
            for run in runs:
                assert list(run.result()[0].volumes) == [level]
            assert crowd.most == most


class Crowd(Wrapped):
    """Its runs wait a moment for others; ``most`` were there at the same time."""

    def __init__(self, session: Runner) -> None:
        super().__init__(session)
        self.most = 0
        self._there = 0
        self._lock = threading.Lock()

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        with self._lock:
            self._there += 1
            self.most = max(self.most, self._there)
        time.sleep(0.1)
        with self._lock:
            self._there -= 1
        return super().run(feeds, outputs)


def test_a_network_without_a_level_is_not_asked_for_it(engine: Engine, crops: list[U8]) -> None:
    with pytest.raises(ModelError, match="not"):
        engine.run(crops[:1], [[Level.PREVIEW]])


def test_fine_is_computed_of_the_rows_that_want_it(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    crops = [np.full((192, 192, 3), mark, np.uint8) for mark in (5, 7)]
    (alone, _) = engine.run(crops, standard(crops))
    assert list(alone.volumes) == [Level.STANDARD]
    assert session.rows == [[]]
    (_, both) = engine.run(crops, [[Level.STANDARD], [Level.STANDARD, Level.FINE]])
    assert [volume.max() for volume in both.volumes.values()] == [7, 7]
    assert session.rows[1:] == [[1]]


def test_warming_up_runs_every_bucket(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    engine.warm_up()
    assert session.sizes == list(engine.buckets)


def test_a_network_that_answers_otherwise_is_refused(
    faked: tuple[Engine, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, session = faked
    wrong = np.zeros((1, 9, 9, 9), np.uint8)
    monkeypatch.setattr(session, "run", lambda batch, names: dict.fromkeys(names, wrong))
    with pytest.raises(ModelError, match="the network gave"):
        volumes(engine, [np.zeros((192, 192, 3), np.uint8)])


def test_a_gpu_is_given_larger_batches_two_at_a_time(model: Model) -> None:
    for provider, facts in {
        "CPUExecutionProvider": (2, 1),
        "CUDAExecutionProvider": (32, 2),
    }.items():
        session = Session(model, provider)
        engine = Engine(model, session=session)
        assert (engine.max_batch, engine.in_flight) == facts
        assert Engine(model, max_batch=7, in_flight=3, session=session).in_flight == 3
        own = provider == "CPUExecutionProvider"
        large = Engine(model, threads=2, cores=8, session=session)
        assert large.in_flight == (4 if own else 2)
        assert large.lanes == (4 if own else 1)


def test_bytes_that_are_no_network_are_refused(model: Model) -> None:
    with pytest.raises(ModelError):
        Engine(replace(model, onnx=b"not a network"), provider="cpu")


def test_cuda_is_insisted_on_when_asked_for(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protome.model.session.ort.get_available_providers", lambda: [])
    with pytest.raises(ModelError, match="CUDA"):
        Engine(model, provider="cuda")
    assert Engine(model, provider="auto").provider == "CPUExecutionProvider"
