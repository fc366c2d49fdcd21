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
from protome.model.session import out_of_memory
from tests.unit.model.outputs import Feeds, standard, volumes


class ShortOfMemory:
    """A session whose device has room for a few rows, as ONNX Runtime says it."""

    def __init__(self, session: Any, room: int) -> None:
        self._session = session
        self.room = room
        self.sizes: list[int] = []

    def run(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Any]:
        batch = feeds["crops"]
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer")
        return dict(self._session.run(feeds, names))


def test_a_batch_that_does_not_fit_is_split_and_the_next_is_smaller(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = crops[:4]
    whole = volumes(engine, crops)
    short = ShortOfMemory(engine._session, 2)
    monkeypatch.setattr(engine, "_session", short)
    monkeypatch.setattr(engine, "_cap", Cap(engine.max_batch))
    for together, alone in zip(volumes(engine, crops), whole, strict=True):
        assert np.abs(together.astype(int) - alone).max() <= 1
    # What failed once is not tried again.
    assert short.sizes == [4, 2, 2]
    volumes(engine, crops)
    assert short.sizes == [4, 2, 2, 2, 2]


def test_no_room_for_a_single_face_is_an_error(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_session", ShortOfMemory(engine._session, 0))
    monkeypatch.setattr(engine, "_cap", Cap(engine.max_batch))
    with pytest.raises(RuntimeError, match="allocate"):
        volumes(engine, crops[:3])


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert out_of_memory(RuntimeError("CUDA error 2: out of memory"))
    assert not out_of_memory(RuntimeError("CUDA error 700: an illegal memory access"))


Spoil = Callable[[npt.NDArray[Any]], None]


class Confused:
    """Says the same as a session, but for one face."""

    def __init__(
        self, session: Any, output: str, wrong: Callable[[npt.NDArray[Any]], None]
    ) -> None:
        self._session = session
        self._output = output
        self._wrong = wrong

    def run(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Any]:
        values = {name: value.copy() for name, value in self._session.run(feeds, names).items()}
        self._wrong(values[self._output][1])
        return values


def _first(value: float) -> Spoil:
    return lambda said: said.flat.__setitem__(3, value)


WRONG: dict[str, Spoil] = {
    "not a number": _first(np.nan),
    "infinite": _first(np.inf),
    "infinite below": _first(-np.inf),
    "far beyond": _first(3e38),
    "all of it": lambda said: said.fill(np.nan),
}


@pytest.mark.parametrize("output", ["landmarks", "pose", "landmark_error"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_face_of_which_the_network_says_no_numbers_is_marked(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch, output: str, wrong: str
) -> None:
    name = getattr(engine.model, output)
    assert name is not None
    whole = engine.run(crops[:3], standard(crops[:3]))
    monkeypatch.setattr(engine, "_session", Confused(engine._session, name, WRONG[wrong]))
    found = engine.run(crops[:3], standard(crops[:3]))
    assert [prediction.sound for prediction in found] == [True, False, True]
    for index in (0, 2):
        for extra in ("landmarks", "pose", "landmark_error"):
            np.testing.assert_array_equal(
                getattr(found[index], extra), getattr(whole[index], extra)
            )


def test_a_pose_without_an_axis_and_a_negative_error_are_no_answers(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine._session
    flat = Confused(real, str(engine.model.pose), lambda pose: pose[:, 2].fill(0))
    below = Confused(real, str(engine.model.landmark_error), lambda error: error.fill(-1))
    for session in (flat, below):
        monkeypatch.setattr(engine, "_session", session)
        found = engine.run(crops[:3], standard(crops[:3]))
        assert [prediction.sound for prediction in found] == [True, False, True]


@pytest.mark.parametrize("output", ["landmarks", "pose", "landmark_error"])
def test_outputs_of_another_shape_are_refused(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    real, name = engine._session, str(getattr(engine.model, output))

    class Cut:
        def run(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Any]:
            values = dict(real.run(feeds, names))
            return values | {name: values[name][:, :-1]}

    monkeypatch.setattr(engine, "_session", Cut())
    with pytest.raises(ModelError, match=name):
        engine.run(crops[:2], standard(crops[:2]))


def test_after_a_shortage_larger_batches_are_tried_again(
    engine: Engine, crops: list[U8], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ShortOfMemory(engine._session, 2)
    monkeypatch.setattr(engine, "_session", short)
    monkeypatch.setattr(engine, "_cap", Cap(4, patience=6))
    volumes(engine, crops[:4])
    assert engine.cap == 2
    # The memory was somebody else's, who gives it back.
    short.room = 4
    while engine.cap == 2:
        assert len(short.sizes) < 20
        volumes(engine, crops[:4])
    assert short.sizes == [4, *[2] * 6]
    volumes(engine, crops[:4])
    assert short.sizes[-1] == 4
