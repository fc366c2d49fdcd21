"""A queue that is fair between streams.

Entries leave by rank, then by priority, then round robin between streams, then first come, first
served. A hundred entries of one stream delay the first entry of another by one place, not by a
hundred. No I/O, no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Turn:
    """What decides when an entry leaves.

    Attributes:
        stream: entries of one stream take turns with those of others; None: a stream of its own.
        priority: lower goes first within a rank.
        rank: lower goes first, whatever the priority.
    """

    stream: Hashable = None
    priority: int = 0
    rank: int = 0


FIRST_COME: Final = Turn()


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item in the queue.

    Attributes:
        item: what waits.
        turn: when it leaves.
        latest_start: from then on it is too late to begin, seconds.
        queued_at: when it was queued, seconds on the same clock.
    """

    item: T
    turn: Turn
    latest_start: float = NEVER
    queued_at: float = 0.0
    _stream: Hashable = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._stream = object() if self.turn.stream is None else self.turn.stream


class FairQueue(Generic[T]):
    """Holds entries until they leave in fair order, expire or are removed."""

    def __init__(self) -> None:
        self._levels: dict[tuple[int, int], OrderedDict[Hashable, OrderedDict[Entry[T], None]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of waiting entries."""
        return self._count

    def __iter__(self) -> Iterator[Entry[T]]:
        """Iterate over the waiting entries in no particular order; safe from another thread."""
        for streams in tuple(self._levels.values()):
            for entries in tuple(streams.values()):
                yield from tuple(entries)

    def push(
        self, item: T, turn: Turn = FIRST_COME, *, latest_start: float = NEVER, now: float = 0.0
    ) -> Entry[T]:
        """Queue an item behind the others of its stream."""
        entry = Entry(item, turn, latest_start, now)
        streams = self._levels.setdefault((turn.rank, turn.priority), OrderedDict())
        streams.setdefault(entry._stream, OrderedDict())[entry] = None
        self._count += 1
        return entry

    def expire(self, now: float) -> list[Entry[T]]:
        """Take out and return the entries that it is too late to begin."""
        expired = [entry for entry in self if entry.latest_start <= now]
        for entry in expired:
            self.remove(entry)
        return expired

    def pop(self) -> Entry[T]:
        """Take out and return the entry whose turn it is.

        Raises:
            IndexError: the queue is empty.
        """
        if not self._levels:
            raise IndexError("the queue is empty")
        streams = self._levels[min(self._levels)]
        stream = next(iter(streams))
        entry = next(iter(streams[stream]))
        self.remove(entry)
        if stream in streams:
            streams.move_to_end(stream)
        return entry

    def remove(self, entry: Entry[T]) -> bool:
        """Take an entry out; return False if it has already left."""
        level = entry.turn.rank, entry.turn.priority
        streams = self._levels.get(level, OrderedDict())
        entries = streams.get(entry._stream, OrderedDict())
        if entry not in entries:
            return False
        del entries[entry]
        if not entries:
            del streams[entry._stream]
        if not streams:
            del self._levels[level]
        self._count -= 1
        return True
