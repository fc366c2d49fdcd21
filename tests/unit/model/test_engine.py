"""Crops → heads and hair: the network itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from protome.geometry import CROP_SIDE, HAIR_SHAPE, METRES_PER_PIXEL, U8
from protome.mesh.shape.head import load_head
from protome.model.card import Model, ModelError
from protome.model.engine import Engine
from tests.unit.model.outputs import Feeds, assert_same, heads


def test_a_prediction_has_the_shapes_of_the_card(engine: Engine, crops: list[U8]) -> None:
    (prediction,) = engine.run(crops[:1])
    assert prediction.vertices.shape == (engine.model.vertex_count, 3)
    assert prediction.vertices.dtype == np.float32
    assert prediction.hair.shape == HAIR_SHAPE
    assert prediction.hair.dtype == np.uint8
    assert prediction.sound


def test_a_face_is_sent_to_a_worker_in_300_kilobytes(engine: Engine, crops: list[U8]) -> None:
    (prediction,) = engine.run(crops[:1])
    assert prediction.vertices.nbytes + prediction.hair.nbytes < 300_000


def test_the_vertices_are_those_of_the_models_head(model: Model) -> None:
    head = load_head(model.head)
    assert len(head.mirror) == model.vertex_count
    assert np.unique(head.triangles).tolist() == list(range(model.vertex_count))


def test_a_head_has_the_size_of_one_and_its_face_in_the_crop(
    engine: Engine, crops: list[U8]
) -> None:
    (prediction,) = engine.run(crops[:1])
    extent = np.ptp(prediction.vertices, axis=0) * METRES_PER_PIXEL
    assert (extent > 0.12).all()
    assert (extent < 0.4).all()
    assert prediction.landmarks is not None
    assert prediction.landmarks[:, :2].min() > 0
    assert prediction.landmarks[:, :2].max() < CROP_SIDE
    nearest = np.linalg.norm(
        prediction.landmarks[27:, None] - prediction.vertices[None], axis=2
    ).min(axis=1)
    assert nearest.max() < 10, "inner landmarks lie close to the head's surface"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_batch_gives_what_singles_give(engine: Engine, crops: list[U8], count: int) -> None:
    together = engine.run(crops[:count])
    assert_same(together, [engine.run([crop])[0] for crop in crops[:count]])


def test_order_and_neighbours_do_not_matter(engine: Engine, crops: list[U8]) -> None:
    assert_same(engine.run(crops), engine.run(crops[::-1])[::-1])


def test_the_same_crop_twice_is_the_same(engine: Engine, crops: list[U8]) -> None:
    first, second = engine.run([crops[0]] * 2)
    assert_same([first], [second])


def test_the_same_run_twice_is_the_same(engine: Engine, crops: list[U8]) -> None:
    (first,), (second,) = engine.run(crops[:1]), engine.run(crops[:1])
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.hair, second.hair)


def test_a_face_keeps_no_memory_of_its_batch(engine: Engine, crops: list[U8]) -> None:
    for prediction in engine.run(crops[:2]):
        assert prediction.vertices.base is None
        assert prediction.hair.base is None


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
    """Records the sizes it is run with; the vertices of a face are its first byte."""

    def __init__(self, model: Model, provider: str) -> None:
        self.sizes: list[int] = []
        self._model = model
        self.provider = provider

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        batch = feeds["crops"]
        self.sizes.append(len(batch))
        return {name: self._output(name, batch) for name in outputs}

    def _output(self, name: str, batch: U8) -> npt.NDArray[Any]:
        if name == self._model.hair:
            return np.zeros((len(batch), *HAIR_SHAPE), np.uint8)
        marks = batch[:, 0, 0, 0].astype(np.float32)
        return np.broadcast_to(marks[:, None, None], (len(batch), self._model.vertex_count, 3))


@pytest.fixture(params=["CPUExecutionProvider", "CUDAExecutionProvider"])
def faked(request: pytest.FixtureRequest, model: Model) -> tuple[Engine, Session]:
    session = Session(model, request.param)
    shape_only = replace(model, landmarks=None, pose=None, landmark_error=None, covered=None)
    return Engine(shape_only, max_batch=8, session=session), session


def test_batches_are_padded_to_buckets_on_cuda_only(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    for count in range(1, 9):
        crops = [np.full((CROP_SIDE, CROP_SIDE, 3), 10 * n, np.uint8) for n in range(count)]
        got = [int(vertices[5, 1]) for vertices in heads(engine, crops)]
        assert got == [10 * n for n in range(count)]
    if engine.provider == "CUDAExecutionProvider":
        assert session.sizes == [1, 2, 4, 4, 8, 8, 8, 8]
    else:
        assert session.sizes == list(range(1, 9))


def test_warming_up_runs_every_bucket(faked: tuple[Engine, Session]) -> None:
    engine, session = faked
    engine.warm_up()
    assert session.sizes == list(engine.buckets)


@pytest.mark.parametrize("output", ["vertices", "hair"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda value: value[:, 1:],
        lambda value: value[None],
        lambda value: value.astype(np.float64),
        lambda value: np.concatenate([value, value]),
    ],
    ids=["short", "deep", "float64", "of more faces"],
)
def test_a_network_that_answers_otherwise_is_refused(
    faked: tuple[Engine, Session],
    output: str,
    wrong: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, session = faked
    name, run = getattr(engine.model, output), session.run

    def answer(feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        values = dict(run(feeds, outputs))
        return {**values, name: wrong(values[name])}

    monkeypatch.setattr(session, "run", answer)
    with pytest.raises(ModelError, match=f"the network gave {name}"):
        engine.run([np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)])


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
