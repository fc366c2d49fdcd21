"""A batcher under test, with a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from protome.scheduling.batcher import Batch, Batcher

INFINITE = float("inf")


@dataclass
class Clock:
    """A clock that stands still until the test moves it."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A batcher and its clock."""

    max_batch: int = 3
    in_flight: int = 1
    lanes: int = 1
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.batcher: Batcher[int] = Batcher(
            max_batch=self.max_batch,
            clock=self.clock,
            in_flight=self.in_flight,
            lanes=self.lanes,
        )

    def take(self) -> tuple[list[int], list[int]]:
        """Return the items of the next batch, computed at once, and those that expired."""
        batch = self.batcher.take()
        if batch.entries:
            self.batcher.done(batch)
        return items(batch), [entry.item for entry in batch.expired]

    def learn(self, size: int, seconds: float) -> None:
        """Let a batch take some seconds."""
        for _ in range(size):
            self.batcher.put(-1)
        batch = self.batcher.take()
        self.clock.now += seconds
        self.batcher.done(batch)


def items(batch: Batch[int]) -> list[int]:
    return [entry.item for entry in batch.entries]
