"""The batcher: which faces go through the network together, and when.

Pure: a queue and a clock, no threads, no I/O. It never waits for company: a batch leaves as soon
as the engine is idle, and what arrives while the engine is busy makes up the next batch. A second
batch may be in flight to keep a GPU's copies and computations overlapping; it leaves early only
when it is full, or when one of its faces cannot wait. On a CPU as many batches run side by side as
there are cores, and the engine counts as idle while one of them is free.

It learns what a batch of n takes as a + b * n (``timing.Affine``), and from that tells on arrival
whether a face can be done in time. Faces that were withdrawn or are too late leave the queue
without being computed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .fair_queue import Entry, FairQueue, Turn
from .learned_times import Affine

T = TypeVar("T")


class QueueFull(Exception):
    """The queue holds as many tickets as it may."""


class Hopeless(Exception):
    """The ticket cannot be done in time; ``wait`` is how much too late it would be, seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"{wait:.3f} s too late")
        self.wait = wait


class Reason(enum.StrEnum):
    """Why a batch left when it did."""

    IDLE = "idle"
    FULL = "full"
    DEADLINE = "deadline"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Due:
    """When a face is wanted, on the batcher's clock.

    Attributes:
        deadline: when the client is gone.
        after: seconds still needed behind the network.
        firm: try until the deadline even where the learned times say that it is no use.
    """

    deadline: float = float("inf")
    after: float = 0.0
    firm: bool = False


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """A place in the queue for ``item``."""

    item: T
    due: Due
    queued_at: float
    _entry: Entry[Ticket[T]] | None = None


@dataclass(slots=True, eq=False)
class Batch(Generic[T]):
    """Tickets that go together, in the order of their turns; empty if none should go now.

    ``expired`` are tickets that left the queue because they are too late.
    """

    tickets: Sequence[Ticket[T]]
    expired: Sequence[Ticket[T]]
    reason: Reason
    began: float


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """A batch that went through: its faces, the rows computed, why it left, its seconds, and how
    many of its faces nobody waited for any more."""

    faces: int
    rows: int
    reason: str
    seconds: float
    gone: int


class Batcher(Generic[T]):
    """Batches of at most ``max_batch``; fair between streams (``fairqueue``).

    Args:
        max_batch: tickets in a batch.
        capacity: tickets in the queue.
        in_flight: batches the engine may hold.
        lanes: batches that run side by side, each as fast as alone.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        capacity: int,
        clock: Callable[[], float],
        in_flight: int = 1,
        lanes: int = 1,
    ) -> None:
        if min(max_batch, capacity, in_flight, lanes) < 1:
            raise ValueError("max_batch, capacity, in_flight and lanes must be at least 1")
        self._max_batch = max_batch
        self._capacity = capacity
        self._in_flight = max(in_flight, lanes)
        self._lanes = lanes
        self._clock = clock
        self._queue: FairQueue[Ticket[T]] = FairQueue()
        self._running: list[Batch[T]] = []
        self._draining = False
        self.times = Affine()

    def __len__(self) -> int:
        """Tickets waiting."""
        return len(self._queue)

    @property
    def oldest_age(self) -> float:
        """Seconds the longest waiting ticket has waited; 0 if none waits."""
        oldest = min((ticket.queued_at for ticket in self._queue), default=None)
        return 0.0 if oldest is None else self._clock() - oldest

    def put(
        self, item: T, due: Due | None = None, *, stream: Hashable = None, priority: int = 0
    ) -> Ticket[T]:
        """Queue an item.

        Raises:
            QueueFull: there is no room.
            Hopeless: it could not be done in time.
        """
        due = due or Due()
        if len(self._queue) >= self._capacity:
            raise QueueFull
        now = self._clock()
        turn = Turn(stream, priority)
        late = now + self.wait(turn) + due.after - due.deadline
        if late > 0 and not due.firm:
            raise Hopeless(late)
        ticket = Ticket(item, due, now)
        ticket._entry = self._queue.push(ticket, turn)
        return ticket

    def wait(self, turn: Turn) -> float:
        """Seconds until a ticket that came now would have its answer, by what was learned."""
        ahead = self._queue.ahead(turn)
        full, place = divmod(ahead, self._max_batch)
        return (
            self._busy(self._clock())
            + full * self.times.predict(self._max_batch) / self._lanes
            + self.times.predict(place + 1)
        )

    def withdraw(self, ticket: Ticket[T]) -> bool:
        """Take a ticket back; False if it has left the queue already."""
        if ticket._entry is None or not self._queue.remove(ticket._entry):
            return False
        # The two know each other: together they would wait for the collector of garbage.
        ticket._entry = None
        return True

    def drain(self) -> None:
        """From now on say of batches that they leave to empty the queue, and hold none back."""
        self._draining = True

    def take(self) -> Batch[T]:
        """The next batch if one should leave now; call :meth:`done` when the engine is."""
        now = self._clock()
        expired = [ticket for ticket in self._queue if self._late(ticket, now)]
        for ticket in expired:
            self.withdraw(ticket)
        reason = self._reason(now)
        tickets: list[Ticket[T]] = []
        while reason and self._queue and len(tickets) < self._max_batch:
            ticket = self._queue.pop().item
            ticket._entry = None
            tickets.append(ticket)
        batch = Batch(tickets, expired, reason or Reason.IDLE, now)
        if tickets:
            self._running.append(batch)
        return batch

    def done(self, batch: Batch[T], *, usual: bool = True) -> None:
        """The engine has finished a batch; how long it took is learned if it was as usual."""
        now = self._clock()
        first = batch is self._running[0]
        # In one lane, one that overtook another says little about either.
        if (first or self._lanes > 1) and usual:
            self.times.observe(len(batch.tickets), now - batch.began)
        self._running.remove(batch)
        if first and self._running and self._lanes == 1:
            # Its turn in the engine comes only now.
            self._running[0].began = now

    @property
    def wake_at(self) -> float:
        """When :meth:`take` should be asked again though nothing came and nothing was done."""
        if not self._queue or not self._running or len(self._running) >= self._in_flight:
            return float("inf")
        return min(self._urgent_at(ticket) for ticket in self._queue)

    def _reason(self, now: float) -> Reason | None:
        """Why a batch should leave now, or None."""
        if not self._queue or len(self._running) >= self._in_flight:
            return None
        if len(self._queue) >= self._max_batch:
            return Reason.FULL
        if self._draining:
            return Reason.DRAIN
        if len(self._running) < self._lanes:
            return Reason.IDLE
        return Reason.DEADLINE if self.wake_at <= now else None

    def _urgent_at(self, ticket: Ticket[T]) -> float:
        # What it would still cost to wait for the next batch: one full run more.
        spare = self.times.predict(len(self._queue)) + self.times.predict(self._max_batch)
        return ticket.due.deadline - ticket.due.after - spare

    def _late(self, ticket: Ticket[T], now: float) -> bool:
        due = ticket.due
        if due.deadline <= now:
            return True
        return not due.firm and now + self.times.predict(1) + due.after > due.deadline

    def _busy(self, now: float) -> float:
        """Seconds until a batch that left now would begin."""
        if len(self._running) < self._lanes:
            return 0.0
        if self._lanes > 1:
            ends = (b.began + self.times.predict(len(b.tickets)) for b in self._running)
            return max(0.0, min(ends) - now)
        total = sum(self.times.predict(len(batch.tickets)) for batch in self._running)
        return max(0.0, total - (now - self._running[0].began))
