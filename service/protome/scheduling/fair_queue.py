"""A queue that is fair between streams: by priority, then round robin, then first come.

Pure. One stream's hundred entries cost another stream's first entry one place, not a hundred.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn an entry waits for.

    Attributes:
        stream: entries of one stream take turns with those of others; None: a stream of its own.
        priority: lower goes first.
    """

    stream: Hashable = None
    priority: int = 0


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """A place in the queue."""

    item: T
    stream: Hashable
    priority: int


class FairQueue(Generic[T]):
    """Entries leave in fair order; any can be taken out of the middle."""

    def __init__(self) -> None:
        self._ranks: dict[int, OrderedDict[Hashable, OrderedDict[Entry[T], None]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Entries waiting."""
        return self._count

    def __iter__(self) -> Iterator[T]:
        """The items that wait, in no order worth mention; another thread may ask."""
        for streams in tuple(self._ranks.values()):
            for entries in tuple(streams.values()):
                for entry in tuple(entries):
                    yield entry.item

    def push(self, item: T, turn: Turn) -> Entry[T]:
        """Queue an item behind the others of its stream."""
        stream = object() if turn.stream is None else turn.stream
        entry = Entry(item, stream, turn.priority)
        streams = self._ranks.setdefault(turn.priority, OrderedDict())
        streams.setdefault(stream, OrderedDict())[entry] = None
        self._count += 1
        return entry

    def pop(self) -> Entry[T]:
        """Take out the entry whose turn it is.

        Raises:
            IndexError: none waits.
        """
        for priority in sorted(self._ranks):
            streams = self._ranks[priority]
            stream = next(iter(streams))
            entry = next(iter(streams[stream]))
            self.remove(entry)
            if stream in streams:
                streams.move_to_end(stream)
            return entry
        raise IndexError("the queue is empty")

    def remove(self, entry: Entry[T]) -> bool:
        """Take an entry out; False if it has left already."""
        streams = self._ranks.get(entry.priority)
        entries = None if streams is None else streams.get(entry.stream)
        if streams is None or entries is None or entry not in entries:
            return False
        del entries[entry]
        if not entries:
            del streams[entry.stream]
        if not streams:
            del self._ranks[entry.priority]
        self._count -= 1
        return True

    def ahead(self, turn: Turn) -> int:
        """How many entries would leave before one that came now."""
        count = 0
        for priority, streams in self._ranks.items():
            if priority < turn.priority:
                count += sum(map(len, streams.values()))
            elif priority == turn.priority:
                own = len(streams.get(turn.stream, ())) if turn.stream is not None else 0
                others = (len(e) for stream, e in streams.items() if stream != turn.stream)
                count += own + sum(min(length, own + 1) for length in others)
        return count
