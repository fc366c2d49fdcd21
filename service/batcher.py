"""The batcher: which faces go through the network together, and when.

Pure: a queue and a clock, no threads, no I/O. It never waits for company: whoever runs the engine
takes a batch as soon as the engine is free, and what arrives meanwhile makes up the next batch.
Tickets that were withdrawn or whose deadline has passed leave the queue without being computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """The queue holds as many tickets as it may."""


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """A place in the queue for ``item``, with times on the batcher's clock in seconds."""

    item: T
    deadline: float
    queued_at: float


class Batcher(Generic[T]):
    """First come, first served, in batches of at most ``max_batch``.

    Args:
        max_batch: tickets in a batch.
        capacity: tickets in the queue.
        clock: seconds, never backwards.
    """

    def __init__(self, *, max_batch: int, capacity: int, clock: Callable[[], float]) -> None:
        if max_batch < 1 or capacity < 1:
            raise ValueError("max_batch and capacity must be at least 1")
        self._max_batch = max_batch
        self._capacity = capacity
        self._clock = clock
        self._queue: deque[Ticket[T]] = deque()

    def __len__(self) -> int:
        """Tickets waiting."""
        return len(self._queue)

    @property
    def oldest_age(self) -> float:
        """Seconds the first ticket has waited; 0 if none waits."""
        return self._clock() - self._queue[0].queued_at if self._queue else 0.0

    def put(self, item: T, deadline: float = float("inf")) -> Ticket[T]:
        """Queue an item.

        Raises:
            QueueFull: there is no room.
        """
        if len(self._queue) >= self._capacity:
            raise QueueFull
        ticket = Ticket(item, deadline, self._clock())
        self._queue.append(ticket)
        return ticket

    def withdraw(self, ticket: Ticket[T]) -> bool:
        """Take a ticket back; False if it has left the queue already."""
        try:
            self._queue.remove(ticket)
        except ValueError:
            return False
        return True

    def take(self) -> tuple[list[Ticket[T]], list[Ticket[T]]]:
        """The next batch, oldest first, and the tickets that expired before it."""
        batch: list[Ticket[T]] = []
        expired: list[Ticket[T]] = []
        now = self._clock()
        while self._queue and len(batch) < self._max_batch:
            ticket = self._queue.popleft()
            (expired if ticket.deadline <= now else batch).append(ticket)
        return batch, expired
