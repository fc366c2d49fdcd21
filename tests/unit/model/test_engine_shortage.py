"""The engine when memory runs short or the network answers nonsense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from protome.geometry import U8
from protome.model.cap import Cap
from protome.model.card import ModelError
from protome.model.engine import Engine
from protome.model.session import Runner, out_of_memory
from tests.unit.model.outputs import Feeds, Wrapped, assert_same, with_session


class ShortOfMemory(Wrapped):
    """Its device has room for a few rows, as ONNX Runtime says it."""

    def __init__(self, session: Runner, room: int) -> None:
        super().__init__(session)
        self.room = room
        self.sizes: list[int] = []

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        batch = feeds["crops"]
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer")
        return super().run(feeds, outputs)


def test_a_batch_that_does_not_fit_is_split_and_the_next_is_smaller(
    engine: Engine, crops: list[U8]
) -> None:
    crops = crops[:4]
    whole = engine.run(crops)
    short = ShortOfMemory(engine.session, 2)
    engine = with_session(engine, short)
    assert_same(engine.run(crops), whole)
    # What failed once is not tried again.
    assert short.sizes == [4, 2, 2]
    engine.run(crops)
    assert short.sizes == [4, 2, 2, 2, 2]


def test_no_room_for_a_single_face_is_an_error(engine: Engine, crops: list[U8]) -> None:
    engine = with_session(engine, ShortOfMemory(engine.session, 0))
    with pytest.raises(RuntimeError, match="allocate"):
        engine.run(crops[:3])


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert out_of_memory(RuntimeError("CUDA error 2: out of memory"))
    assert not out_of_memory(RuntimeError("CUDA error 700: an illegal memory access"))


Spoil = Callable[[npt.NDArray[Any]], None]


class Confused(Wrapped):
    """Says the same as a session, but for one face."""

    def __init__(self, session: Runner, output: str, wrong: Spoil) -> None:
        super().__init__(session)
        self._output = output
        self._wrong = wrong

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        values = {name: value.copy() for name, value in super().run(feeds, outputs).items()}
        self._wrong(values[self._output][1])
        return values


def _first(value: float) -> Spoil:
    return lambda said: said.flat.__setitem__(2, value)


WRONG: dict[str, Spoil] = {
    "not a number": _first(np.nan),
    "infinite": _first(np.inf),
    "infinite below": _first(-np.inf),
    "far beyond": _first(3e38),
    "all of it": lambda said: said.fill(np.nan),
}


@pytest.mark.parametrize("output", ["vertices", "landmarks", "pose", "landmark_error", "covered"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_face_of_which_the_network_says_no_numbers_is_marked(
    engine: Engine, crops: list[U8], output: str, wrong: str
) -> None:
    name = getattr(engine.model, output)
    assert name is not None
    whole = engine.run(crops[:3])
    confused = with_session(engine, Confused(engine.session, name, WRONG[wrong]))
    found = confused.run(crops[:3])
    assert [prediction.sound for prediction in found] == [True, False, True]
    for index in (0, 2):
        for extra in ("vertices", "landmarks", "pose", "landmark_error", "covered"):
            np.testing.assert_array_equal(
                getattr(found[index], extra), getattr(whole[index], extra)
            )


def test_a_pose_without_an_axis_and_a_negative_error_are_no_answers(
    engine: Engine, crops: list[U8]
) -> None:
    real = engine.session
    flat = Confused(real, str(engine.model.pose), lambda pose: pose[:, 2].fill(0))
    below = Confused(real, str(engine.model.landmark_error), lambda error: error.fill(-1))
    for session in (flat, below):
        found = with_session(engine, session).run(crops[:3])
        assert [prediction.sound for prediction in found] == [True, False, True]


@pytest.mark.parametrize(
    "output", ["vertices", "hair", "landmarks", "pose", "landmark_error", "covered"]
)
def test_outputs_of_another_shape_are_refused(engine: Engine, crops: list[U8], output: str) -> None:
    real, name = engine.session, str(getattr(engine.model, output))

    class Cut(Wrapped):
        def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
            values = super().run(feeds, outputs)
            return {**values, name: values[name][:, :-1]}

    with pytest.raises(ModelError, match=name):
        with_session(engine, Cut(real)).run(crops[:2])


def test_after_a_shortage_larger_batches_are_tried_again(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ShortOfMemory(engine.session, 2)
    engine = with_session(engine, short)
    monkeypatch.setattr(engine, "_cap", Cap(4, patience=6))
    engine.run(crops[:4])
    assert engine.cap == 2
    # The memory was somebody else's, who gives it back.
    short.room = 4
    while engine.cap == 2:
        assert len(short.sizes) < 20
        engine.run(crops[:4])
    assert short.sizes == [4, *[2] * 6]
    engine.run(crops[:4])
    assert short.sizes[-1] == 4
