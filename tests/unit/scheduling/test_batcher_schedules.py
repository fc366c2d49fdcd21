"""Random schedules: whatever happens, every entry gets one answer."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from protome.scheduling.batcher import Batch, Batcher, Reason
from protome.scheduling.fair_queue import Entry, Turn
from tests.unit.scheduling.rig import INFINITE, Clock, Rig, items

STREAMS = ("a", "b", None)


class Schedules(RuleBasedStateMachine):
    """Random put, withdraw, advance, take and done, next to a plain model of what must happen."""

    entries: Bundle[Entry[int]] = Bundle("entries")
    in_flight = 1
    lanes = 1

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(max_batch=3, in_flight=self.in_flight, lanes=self.lanes)
        self.waiting: list[Entry[int]] = []
        self.streams: dict[int, str | None] = {}
        self.running: list[Batch[int]] = []
        self.gone: set[int] = set()
        self.next = 0

    @rule(
        target=entries,
        wait=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0, 20.0, INFINITE]),
        stream=st.sampled_from(STREAMS),
    )
    def put(self, wait: float, stream: str | None) -> Entry[int]:
        item, self.next = self.next, self.next + 1
        latest = self.rig.clock.now + wait
        batcher = self.rig.batcher
        entry = batcher.put(item, Turn(stream), latest_start=latest)
        assert entry.queued_at == self.rig.clock.now
        self.waiting.append(entry)
        self.streams[item] = stream
        return entry

    @rule(entry=entries)
    def withdraw(self, entry: Entry[int]) -> None:
        waits = entry in self.waiting
        assert self.rig.batcher.withdraw(entry) is waits
        if waits:
            self.waiting.remove(entry)
            self.gone.add(entry.item)

    @rule(entry=consumes(entries))
    def forget(self, entry: Entry[int]) -> None:
        """A caller that drops its entry changes nothing."""

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 5.0]))
    def advance(self, seconds: float) -> None:
        self.rig.clock.now += seconds

    @rule()
    def take(self) -> None:
        batch = self.rig.batcher.take()
        now = self.rig.clock.now
        left = [*batch.entries, *batch.expired]
        names = [entry.item for entry in left]
        assert len(set(names)) == len(names)
        assert not self.gone & set(names), "answered twice, or after it was withdrawn"
        assert len(batch.entries) <= 3
        assert all(entry.latest_start > now for entry in batch.entries), "computed too late"
        assert all(entry.latest_start <= now for entry in batch.expired)
        self.waiting = [entry for entry in self.waiting if entry not in left]
        # Never idle: what waits while nothing is in flight leaves, as much as fits.
        if len(self.running) < self.lanes:
            assert len(batch.entries) == 3 or not self.waiting
        if batch.entries:
            assert len(self.running) < max(self.in_flight, self.lanes)
            assert batch.reason is not Reason.FULL or len(batch.entries) == 3
            self.running.append(batch)
        self.fair(batch)
        self.gone |= set(names)

    def fair(self, batch: Batch[int]) -> None:
        """In order within a stream, and no stream twice before another that waits got its turn."""
        taken = items(batch)
        for stream in STREAMS[:2]:
            mine = [item for item in taken if self.streams[item] == stream]
            later = [t.item for t in self.waiting if self.streams[t.item] == stream]
            assert mine == sorted(mine)
            assert not mine or not later or max(mine) < min(later)
            others = {self.streams[t.item] for t in self.waiting} - {stream, None}
            if len(mine) >= 2:
                for other in others:
                    assert any(self.streams[item] == other for item in taken)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 7), failed=st.booleans())
    def done(self, which: int, failed: bool) -> None:
        batch = self.running.pop(which % len(self.running))
        self.rig.batcher.done(batch, usual=not failed)

    @precondition(lambda self: self.waiting)
    @rule()
    def drain(self) -> None:
        for _ in range(2 * len(self.waiting) + 2):
            self.take()
            if self.running:
                self.done(0, False)
        assert not self.waiting

    @invariant()
    def the_length_is_right(self) -> None:
        assert len(self.rig.batcher) == len(self.waiting)

    @invariant()
    def the_age_is_right(self) -> None:
        first = min((entry.queued_at for entry in self.waiting), default=self.rig.clock.now)
        assert self.rig.batcher.oldest_age == self.rig.clock.now - first


class Pairs(Schedules):
    """The same with two batches in flight."""

    in_flight = 2


class Lanes(Schedules):
    """The same with two lanes."""

    lanes = 2


TestLanes = Lanes.TestCase
TestSchedules = Schedules.TestCase
TestPairs = Pairs.TestCase
TestSchedules.settings = TestPairs.settings = TestLanes.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True, database=None
)


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=30))
@settings(deadline=None, derandomize=True, database=None)
def test_everyone_who_stays_is_answered_once(max_batch: int, stays: list[bool]) -> None:
    rig = Rig(max_batch)
    for item, stay in enumerate(stays):
        entry = rig.batcher.put(item)
        if not stay:
            rig.batcher.withdraw(entry)
    answered: list[int] = []
    while batch := rig.take()[0]:
        answered += batch
    assert answered == [item for item, stay in enumerate(stays) if stay]


class Picture:
    """Something large."""


def test_withdrawn_entries_are_not_kept() -> None:
    """Their pictures would pile up while clients come and go and the engine is busy."""
    batcher: Batcher[Picture] = Batcher(max_batch=3, clock=Clock())
    alive: weakref.WeakSet[Picture] = weakref.WeakSet()
    kept = batcher.put(Picture())
    alive.add(kept.item)
    for _ in range(100):
        picture = Picture()
        alive.add(picture)
        batcher.withdraw(batcher.put(picture))
    del picture
    gc.collect()
    assert len(alive) <= 6


@pytest.mark.parametrize("way", ["served", "withdrawn", "expired"])
def test_pictures_do_not_wait_for_the_collector_of_garbage(way: str) -> None:
    """It comes seldom, and each face has a volume of a megabyte."""
    rig = Rig()
    batcher: Batcher[Picture] = Batcher(max_batch=1, clock=rig.clock)
    picture = Picture()
    alive = weakref.ref(picture)
    gc.disable()
    try:
        entry = batcher.put(picture, latest_start=rig.clock() + 1)
        if way == "withdrawn":
            assert batcher.withdraw(entry)
        else:
            rig.clock.now += 2 if way == "expired" else 0
            batch = batcher.take()
            assert (batch.expired if way == "expired" else batch.entries) == [entry]
            if way == "served":
                batcher.done(batch)
            del batch
        del entry, picture
        assert alive() is None
    finally:
        gc.enable()
