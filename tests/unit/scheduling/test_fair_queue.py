"""The fair queue: turns, priorities, and nothing lost."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protome.scheduling.fair_queue import FairQueue, Turn


def drained(queue: FairQueue[str]) -> list[str]:
    return [queue.pop().item for _ in range(len(queue))]


def test_single_entries_go_first_come_first_served() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in "abcd":
        queue.push(name, Turn())
    assert drained(queue) == list("abcd")
    with pytest.raises(IndexError):
        queue.pop()


def test_streams_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(4):
        queue.push(f"a{number}", Turn("a"))
    queue.push("b0", Turn("b"))
    queue.push("single", Turn())
    queue.push("b1", Turn("b"))
    assert drained(queue) == ["a0", "b0", "single", "a1", "b1", "a2", "a3"]


def test_lower_priorities_wait_for_all_others() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("late", Turn("a", 1))
    queue.push("early", Turn("a", 0))
    queue.push("urgent", Turn("a", -1))
    assert drained(queue) == ["urgent", "early", "late"]


def test_lower_ranks_wait_whatever_their_priority() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("begin", Turn("a", 0, rank=1))
    queue.push("background", Turn("a", 99, rank=0))
    assert drained(queue) == ["background", "begin"]


def test_expired_entries_leave_together_and_once() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("late", Turn("a"), latest_start=1.0)
    queue.push("early", Turn("a"), latest_start=3.0)
    queue.push("any", Turn("b"))
    queue.push("just", Turn("b", 1), latest_start=2.0)
    assert sorted(entry.item for entry in queue.expire(2.0)) == ["just", "late"]
    assert queue.expire(2.0) == []
    assert drained(queue) == ["early", "any"]


def test_an_entry_is_removed_once() -> None:
    queue: FairQueue[str] = FairQueue()
    first, second = queue.push("1", Turn("a")), queue.push("2", Turn("a"))
    assert queue.remove(first)
    assert not queue.remove(first)
    assert not FairQueue[str]().remove(second)
    assert drained(queue) == ["2"]
    assert not queue.remove(second)


TURNS = st.builds(Turn, st.sampled_from([None, "a", "b", "c"]), st.integers(0, 1))


@given(st.lists(st.one_of(TURNS, st.just("pop"), st.just("remove")), max_size=80))
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_any_schedule_loses_nothing(steps: list[Turn | str]) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting = {}
    for number, step in enumerate(steps):
        if isinstance(step, Turn):
            waiting[number] = queue.push(number, step)
        elif step == "pop" and waiting:
            entry = queue.pop()
            assert waiting.pop(entry.item) is entry
            first = min(e.turn.priority for e in [entry, *waiting.values()])
            assert entry.turn.priority == first
        elif waiting:
            assert queue.remove(waiting.pop(min(waiting)))
        assert len(queue) == len(waiting)
        assert Counter(entry.item for entry in queue) == Counter(waiting.keys())
    # In order within a stream.
    queue = FairQueue()
    for number, step in enumerate(steps):
        if isinstance(step, Turn):
            queue.push(number, step)
    seen: dict[object, list[int]] = defaultdict(list)
    while len(queue):
        entry = queue.pop()
        if entry.turn.stream is not None:
            seen[entry.turn.stream, entry.turn.priority].append(entry.item)
    assert all(items == sorted(items) for items in seen.values())


def test_may_be_looked_at_by_another_thread() -> None:
    """The one that answers /metrics: an error there is a scrape that is missing."""
    queue: FairQueue[int] = FairQueue()
    over = threading.Event()

    def look() -> int:
        looks = 0
        while not over.is_set():
            looks += 1 + 0 * sum(entry.item for entry in queue)
        return looks

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as threads:
            looking = threads.submit(look)
            until = time.monotonic() + 0.5
            while time.monotonic() < until and not looking.done():
                entries = [queue.push(n, Turn(n % 7)) for n in range(40)]
                for entry in entries:
                    queue.remove(entry)
            over.set()
            assert looking.result() > 10
    finally:
        sys.setswitchinterval(interval)
