"""What the tests of the engine ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8
from protome.model.engine import Engine, Prediction
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


def heads(engine: Engine, crops: Sequence[U8]) -> list[F32]:
    """The vertices of each crop's head."""
    return [prediction.vertices for prediction in engine.run(crops)]


# What rounding may change of each of the fixture ``crops``, pixels: on noise it is amplified.
ROUNDING: Final = (0.01, 0.01, 0.01, 0.5, 0.01)


def assert_same(found: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    """Predictions of the first ``crops`` are equal but for sums that round differently."""
    for one, other, atol in zip(found, expected, ROUNDING, strict=False):
        for name in ("vertices", "landmarks", "pose", "landmark_error", "covered"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol)
        assert np.abs(one.hair.astype(int) - other.hair).max() <= 1
