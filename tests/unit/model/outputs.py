"""What the tests of the engine ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from protome.geometry import U8, Level
from protome.model.engine import Engine
from protome.model.session import Runner

Feeds = Mapping[str, npt.NDArray[Any]]


class Wrapped:
    """A session that runs another; the tests' sessions change what it is given or answers."""

    def __init__(self, session: Runner) -> None:
        self.session = session
        self.provider = session.provider

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> Feeds:
        return self.session.run(feeds, outputs)


def with_session(engine: Engine, session: Runner) -> Engine:
    """An engine of the same model that runs this session."""
    return Engine(engine.model, max_batch=engine.max_batch, session=session)


def volumes(engine: Engine, crops: Sequence[U8]) -> list[U8]:
    return [prediction.volumes[Level.STANDARD] for prediction in engine.run(crops, standard(crops))]


def standard(crops: Sequence[U8]) -> list[list[Level]]:
    return [[Level.STANDARD]] * len(crops)
