"""Describe what the metrics read of the parts of a server."""

from __future__ import annotations

from typing import Protocol

from protome.scheduling.learned_times import Affine


class WorkerQueue(Protocol):
    """The tasks that wait for a worker, see ``protome.workers.pool.Pool``."""

    @property
    def waiting(self) -> int:
        """Number of tasks that wait."""

    @property
    def ready(self) -> int:
        """Number of workers, busy or idle."""


class FaceQueue(Protocol):
    """The faces that wait for the network, see ``protome.pipeline.inference.Inference``."""

    @property
    def queued(self) -> int:
        """Number of faces that wait."""

    @property
    def oldest_age(self) -> float:
        """Seconds that the oldest face has waited."""

    @property
    def times(self) -> Affine:
        """Learned seconds of a batch by its faces."""


class BatchLimited(Protocol):
    """A network with a limit on its batches, see ``protome.model.engine.Engine``."""

    @property
    def cap(self) -> int:
        """Largest batch at the moment."""


class WorkForecast(Protocol):
    """What is known of the work ahead; see ``protome.scheduling.forecast.Forecast``."""

    @property
    def backlog(self) -> float:
        """Seconds of work left for the photos in progress."""

    @property
    def speed(self) -> float:
        """Seconds of work done per second while saturated."""


class ModelCard(Protocol):
    """Facts about a network, see ``protome.model.card.Model``."""

    @property
    def name(self) -> str:
        """Name of the network."""

    @property
    def version(self) -> str:
        """Version of its weights."""

    @property
    def digest(self) -> str:
        """SHA-256 of its weights, hexadecimal."""
