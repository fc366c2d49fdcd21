"""Decide which faces go through the network together, and when.

A queue and a clock, no threads, no I/O. A batch is never delayed to fill up: it leaves as soon as
the engine is idle, and the faces that arrive while the engine is busy form the next batch. A second
batch may be in flight so that a GPU copies and computes at the same time; it leaves early only when
it is full, or when one of its faces cannot wait. On a CPU as many batches run side by side as there
are cores, and the engine counts as idle while one of them is free.

The time of a batch of n faces is learned as a + b * n (:class:`Affine`). Faces that were withdrawn
or are too late leave the queue without being computed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .fair_queue import FIRST_COME, NEVER, Entry, FairQueue, Turn
from .learned_times import Affine

T = TypeVar("T")


class Reason(enum.StrEnum):
    """Why a batch left when it did."""

    IDLE = "idle"
    FULL = "full"
    DEADLINE = "deadline"
    DRAIN = "drain"


@dataclass(slots=True, eq=False)
class Batch(Generic[T]):
    """Entries that go together.

    Attributes:
        entries: in the order of their turns; empty if no batch should leave now.
        expired: entries that left the queue because they are too late.
        reason: why the batch leaves.
        began: when it did, on the batcher's clock.
    """

    entries: Sequence[Entry[T]]
    expired: Sequence[Entry[T]]
    reason: Reason
    began: float


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What is reported of a batch that went through the network.

    Attributes:
        faces: faces in it.
        rows: rows computed, padding included.
        reason: why it left.
        seconds: time in the network.
        gone: faces whose caller had left before the answer.
    """

    faces: int
    rows: int
    reason: str
    seconds: float
    gone: int


class Batcher(Generic[T]):
    """Forms batches of at most ``max_batch`` entries, fair between streams.

    Args:
        max_batch: entries in a batch.
        in_flight: batches that the engine may hold.
        lanes: batches that run side by side, each as fast as alone.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        clock: Callable[[], float],
        in_flight: int = 1,
        lanes: int = 1,
    ) -> None:
        if min(max_batch, in_flight, lanes) < 1:
            raise ValueError("max_batch, in_flight and lanes must be at least 1")
        self._max_batch = max_batch
        self._in_flight = max(in_flight, lanes)
        self._lanes = lanes
        self._clock = clock
        self._queue: FairQueue[T] = FairQueue()
        self._running: list[Batch[T]] = []
        self._draining = False
        self.times = Affine()

    def __len__(self) -> int:
        """Return the number of waiting entries."""
        return len(self._queue)

    @property
    def oldest_age(self) -> float:
        """Seconds that the oldest entry has waited; 0 if the queue is empty."""
        oldest = min((entry.queued_at for entry in self._queue), default=None)
        return 0.0 if oldest is None else self._clock() - oldest

    def put(self, item: T, turn: Turn = FIRST_COME, *, latest_start: float = NEVER) -> Entry[T]:
        """Queue an item.

        Args:
            item: what is to be computed.
            turn: its place among others.
            latest_start: when it is too late to begin, on the batcher's clock.
        """
        return self._queue.push(item, turn, latest_start=latest_start, now=self._clock())

    def withdraw(self, entry: Entry[T]) -> bool:
        """Take an entry back; return False if it has already left the queue."""
        return self._queue.remove(entry)

    def drain(self) -> None:
        """Hold no batch back from now on; give DRAIN as their reason."""
        self._draining = True

    def take(self) -> Batch[T]:
        """Return the next batch if one should leave now; call :meth:`done` when it is computed."""
        now = self._clock()
        expired = self._queue.expire(now)
        reason = self._reason(now)
        entries: list[Entry[T]] = []
        while reason and self._queue and len(entries) < self._max_batch:
            entries.append(self._queue.pop())
        batch = Batch(entries, expired, reason or Reason.IDLE, now)
        if entries:
            self._running.append(batch)
        return batch

    def done(self, batch: Batch[T], *, usual: bool = True) -> None:
        """Record that a batch is computed; learn its time if it was a usual one."""
        now = self._clock()
        first = batch is self._running[0]
        # In one lane, the time of a batch that overtook another says little about either.
        if (first or self._lanes > 1) and usual:
            self.times.observe(len(batch.entries), now - batch.began)
        self._running.remove(batch)
        if first and self._running and self._lanes == 1:
            # The engine begins with it only now.
            self._running[0].began = now

    @property
    def wake_at(self) -> float:
        """When to call :meth:`take` again even if no entry comes and no batch is done."""
        if not self._queue or not self._running or len(self._running) >= self._in_flight:
            return NEVER
        # An entry that waits for the next batch waits for one full batch more.
        predict = self.times.predict
        longer = predict(len(self._queue)) - predict(1) + predict(self._max_batch)
        return min(entry.latest_start for entry in self._queue) - longer

    def _reason(self, now: float) -> Reason | None:
        """Return why a batch should leave now, or None."""
        if not self._queue or len(self._running) >= self._in_flight:
            return None
        if len(self._queue) >= self._max_batch:
            return Reason.FULL
        if self._draining:
            return Reason.DRAIN
        if len(self._running) < self._lanes:
            return Reason.IDLE
        return Reason.DEADLINE if self.wake_at <= now else None
