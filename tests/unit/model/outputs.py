"""What the tests of the engine ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from protome.geometry import U8, Level
from protome.model.engine import Engine

Feeds = Mapping[str, npt.NDArray[Any]]


def volumes(engine: Engine, crops: Sequence[U8]) -> list[U8]:
    return [prediction.volumes[Level.STANDARD] for prediction in engine.run(crops, standard(crops))]


def standard(crops: Sequence[U8]) -> list[list[Level]]:
    return [[Level.STANDARD]] * len(crops)
