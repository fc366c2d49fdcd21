"""The batcher under random schedules: nothing lost, nothing twice, in order, within bounds."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from protome.scheduling.batcher import Batch, Batcher, Due, Hopeless, QueueFull, Reason, Ticket
from protome.scheduling.fair_queue import Turn

INFINITE = float("inf")


@dataclass
class Clock:
    """A clock that stands still until told otherwise."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A batcher and its clock."""

    max_batch: int = 3
    capacity: int = 5
    in_flight: int = 1
    lanes: int = 1
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.batcher: Batcher[int] = Batcher(
            max_batch=self.max_batch,
            capacity=self.capacity,
            clock=self.clock,
            in_flight=self.in_flight,
            lanes=self.lanes,
        )

    def take(self) -> tuple[list[int], list[int]]:
        """Items of the next batch, which the engine does at once, and of those that expired."""
        batch = self.batcher.take()
        if batch.tickets:
            self.batcher.done(batch)
        return items(batch), [ticket.item for ticket in batch.expired]

    def learn(self, size: int, seconds: float) -> None:
        """Have a batch take some time."""
        for _ in range(size):
            self.batcher.put(-1)
        batch = self.batcher.take()
        self.clock.now += seconds
        self.batcher.done(batch)


def items(batch: Batch[int]) -> list[int]:
    return [ticket.item for ticket in batch.tickets]


@pytest.mark.parametrize(("bounds"), [(0, 1, 1), (1, 0, 1), (-1, 5, 1), (1, 1, 0)])
def test_bounds_below_one_are_refused(bounds: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rig(*bounds)


def test_batches_are_full_and_in_order() -> None:
    rig = Rig()
    for item in range(5):
        rig.batcher.put(item)
    assert rig.take() == ([0, 1, 2], [])
    assert rig.take() == ([3, 4], [])
    assert rig.take() == ([], [])


def test_a_full_queue_refuses_until_something_leaves() -> None:
    rig = Rig()
    tickets = [rig.batcher.put(item) for item in range(5)]
    with pytest.raises(QueueFull):
        rig.batcher.put(5)
    assert rig.batcher.withdraw(tickets[2])
    rig.batcher.put(6)
    with pytest.raises(QueueFull):
        rig.batcher.put(7)
    assert rig.take() == ([0, 1, 3], [])
    assert rig.take() == ([4, 6], [])


def test_expired_tickets_do_not_take_a_place_in_the_batch() -> None:
    rig = Rig()
    for item, deadline in enumerate([105, 101, INFINITE, 102, INFINITE]):
        rig.batcher.put(item, Due(deadline))
    rig.clock.now = 102
    assert rig.take() == ([0, 2, 4], [1, 3])
    assert len(rig.batcher) == 0


def test_a_deadline_is_passed_when_it_is_reached() -> None:
    rig = Rig()
    rig.batcher.put(1, Due(rig.clock.now + 1))
    rig.clock.now += 1
    assert rig.take() == ([], [1])


def test_a_ticket_can_be_withdrawn_once_and_only_while_it_waits() -> None:
    rig = Rig()
    first, second = rig.batcher.put(1), rig.batcher.put(2)
    assert rig.batcher.withdraw(first)
    assert not rig.batcher.withdraw(first)
    assert rig.take() == ([2], [])
    assert not rig.batcher.withdraw(second)
    assert len(rig.batcher) == 0


def test_a_ticket_of_another_batcher_is_not_withdrawn() -> None:
    rig, other = Rig(), Rig()
    rig.batcher.put(1)
    assert not rig.batcher.withdraw(other.batcher.put(1))
    assert len(rig.batcher) == 1


def test_age_is_that_of_the_oldest_that_still_waits() -> None:
    rig = Rig()
    assert rig.batcher.oldest_age == 0
    first = rig.batcher.put(1)
    rig.clock.now += 2
    rig.batcher.put(2)
    rig.clock.now += 3
    assert rig.batcher.oldest_age == 5
    rig.batcher.withdraw(first)
    assert rig.batcher.oldest_age == 3
    rig.take()
    assert rig.batcher.oldest_age == 0


def test_while_the_engine_is_busy_the_next_batch_grows() -> None:
    rig = Rig()
    rig.batcher.put(1)
    running = rig.batcher.take()
    assert (items(running), running.reason) == ([1], Reason.IDLE)
    for item in (2, 3):
        rig.batcher.put(item)
        assert items(rig.batcher.take()) == []
    rig.batcher.done(running)
    assert items(rig.batcher.take()) == [2, 3]


def test_lanes_run_side_by_side() -> None:
    rig = Rig(lanes=2)
    rig.learn(1, 1.0)
    for item in range(3):
        rig.batcher.put(item)
        if item < 2:
            assert items(rig.batcher.take()) == [item]
    assert items(rig.batcher.take()) == [], "both lanes are taken"
    rig.clock.now += 0.25
    assert rig.batcher.wait(Turn()) == pytest.approx(0.75 + 2.0)


def test_every_lane_teaches() -> None:
    rig = Rig(lanes=2)
    batches = []
    for item in range(2):
        rig.batcher.put(item)
        batches.append(rig.batcher.take())
    rig.clock.now += 2
    rig.batcher.done(batches[1])
    rig.clock.now += 2
    rig.batcher.done(batches[0])
    assert rig.batcher.times.predict(1) == pytest.approx(3, rel=0.02)


def test_a_second_batch_leaves_early_only_when_full_urgent_or_draining() -> None:
    rig = Rig(capacity=20, in_flight=2)
    rig.learn(1, 1.0)
    rig.batcher.put(1)
    rig.batcher.take()
    rig.batcher.put(2)
    assert items(rig.batcher.take()) == []
    assert rig.batcher.wake_at == INFINITE
    rig.batcher.put(3, Due(rig.clock.now + 30))
    assert items(rig.batcher.take()) == []
    rig.clock.now = rig.batcher.wake_at
    urgent = rig.batcher.take()
    assert (items(urgent), urgent.reason) == ([2, 3], Reason.DEADLINE)
    rig.batcher.done(urgent)
    for item in (4, 5, 6):
        rig.batcher.put(item)
    full = rig.batcher.take()
    assert (items(full), full.reason) == ([4, 5, 6], Reason.FULL)
    for item in (7, 8, 9):
        rig.batcher.put(item)
    assert items(rig.batcher.take()) == [], "two are in flight"
    rig.batcher.done(full)
    assert items(rig.batcher.take()) == [7, 8, 9]
    rig = Rig(in_flight=2)
    rig.batcher.put(1)
    rig.batcher.take()
    rig.batcher.put(2)
    rig.batcher.drain()
    drained = rig.batcher.take()
    assert (items(drained), drained.reason) == ([2], Reason.DRAIN)


def test_what_cannot_be_done_in_time_is_refused_on_arrival() -> None:
    rig = Rig(capacity=20)
    rig.learn(1, 1.0)
    rig.learn(3, 2.0)
    assert rig.batcher.wait(Turn()) == pytest.approx(1.0)
    with pytest.raises(Hopeless) as caught:
        rig.batcher.put(1, Due(rig.clock.now + 0.9))
    assert caught.value.wait == pytest.approx(0.1)
    rig.batcher.put(1, Due(rig.clock.now + 1.1))
    with pytest.raises(Hopeless):
        rig.batcher.put(2, Due(rig.clock.now + 2, after=1))
    for item in range(3):
        rig.batcher.put(item)
    # The fifth has a batch of three ahead, then goes with the fourth.
    assert rig.batcher.wait(Turn()) == pytest.approx(3.5)
    rig.batcher.take()
    rig.clock.now += 1
    assert rig.batcher.wait(Turn()) == pytest.approx(2.5)


def test_a_firm_ticket_is_tried_until_its_deadline() -> None:
    rig = Rig()
    rig.learn(1, 1.0)
    rig.batcher.put(1, Due(rig.clock.now + 0.5, firm=True))
    rig.clock.now += 0.4
    assert rig.take() == ([1], [])


def test_what_got_too_late_in_the_queue_is_not_computed() -> None:
    rig = Rig()
    rig.learn(1, 1.0)
    rig.batcher.put(1, Due(rig.clock.now + 3, after=1))
    rig.clock.now += 1.5
    assert rig.take() == ([], [1])


def test_failed_batches_teach_nothing() -> None:
    rig = Rig()
    rig.learn(1, 1.0)
    rig.batcher.put(1)
    batch = rig.batcher.take()
    rig.clock.now += 0.1
    rig.batcher.done(batch, usual=False)
    assert rig.batcher.times.predict(1) == pytest.approx(1.0)


def test_the_wait_for_the_batch_before_is_not_learned() -> None:
    rig = Rig(capacity=20, in_flight=2)
    for item in range(6):
        rig.batcher.put(item)
    first, second = rig.batcher.take(), rig.batcher.take()
    rig.clock.now += 3
    rig.batcher.done(first)
    rig.clock.now += 3
    rig.batcher.done(second)
    assert rig.batcher.times.predict(3) == pytest.approx(3)


STREAMS = ("a", "b", None)


class Schedules(RuleBasedStateMachine):
    """Random put, withdraw, advance, take and done, next to a plain model of what must happen."""

    tickets: Bundle[Ticket[int]] = Bundle("tickets")
    in_flight = 1
    lanes = 1

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(max_batch=3, capacity=6, in_flight=self.in_flight, lanes=self.lanes)
        self.waiting: list[Ticket[int]] = []
        self.streams: dict[int, str | None] = {}
        self.running: list[Batch[int]] = []
        self.gone: set[int] = set()
        self.next = 0

    @rule(
        target=tickets,
        wait=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0, 20.0, INFINITE]),
        after=st.sampled_from([0.0, 0.5]),
        firm=st.booleans(),
        stream=st.sampled_from(STREAMS),
    )
    def put(
        self, wait: float, after: float, firm: bool, stream: str | None
    ) -> Ticket[int] | MultipleResults[Ticket[int]]:
        item, self.next = self.next, self.next + 1
        due = Due(self.rig.clock.now + wait, after, firm)
        batcher = self.rig.batcher
        if len(self.waiting) == 6:
            with pytest.raises(QueueFull):
                batcher.put(item, due, stream=stream)
            return multiple()
        if not firm and batcher.wait(Turn(stream)) + after > wait + 1e-9:
            with pytest.raises(Hopeless):
                batcher.put(item, due, stream=stream)
            return multiple()
        ticket = batcher.put(item, due, stream=stream)
        assert ticket.queued_at == self.rig.clock.now
        self.waiting.append(ticket)
        self.streams[item] = stream
        return ticket

    @rule(ticket=tickets)
    def withdraw(self, ticket: Ticket[int]) -> None:
        waits = ticket in self.waiting
        assert self.rig.batcher.withdraw(ticket) is waits
        if waits:
            self.waiting.remove(ticket)
            self.gone.add(ticket.item)

    @rule(ticket=consumes(tickets))
    def forget(self, ticket: Ticket[int]) -> None:
        """A caller that drops its ticket changes nothing."""

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 5.0]))
    def advance(self, seconds: float) -> None:
        self.rig.clock.now += seconds

    @rule()
    def take(self) -> None:
        batch = self.rig.batcher.take()
        now = self.rig.clock.now
        left = [*batch.tickets, *batch.expired]
        names = [ticket.item for ticket in left]
        assert len(set(names)) == len(names)
        assert not self.gone & set(names), "answered twice, or after it was withdrawn"
        assert len(batch.tickets) <= 3
        assert all(ticket.due.deadline > now for ticket in batch.tickets), "computed for nobody"
        for ticket in batch.expired:
            wait = self.rig.batcher.times.predict(1) + ticket.due.after
            assert ticket.due.deadline <= now + (0 if ticket.due.firm else wait)
        self.waiting = [ticket for ticket in self.waiting if ticket not in left]
        # Never idle: what waits while nothing is in flight leaves, as much as fits.
        if len(self.running) < self.lanes:
            assert len(batch.tickets) == 3 or not self.waiting
        if batch.tickets:
            assert len(self.running) < max(self.in_flight, self.lanes)
            assert batch.reason is not Reason.FULL or len(batch.tickets) == 3
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
    def the_length_is_right_and_bounded(self) -> None:
        assert len(self.rig.batcher) == len(self.waiting) <= 6

    @invariant()
    def the_age_is_right(self) -> None:
        first = min((ticket.queued_at for ticket in self.waiting), default=self.rig.clock.now)
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
    rig = Rig(max_batch, capacity=30)
    for item, stay in enumerate(stays):
        ticket = rig.batcher.put(item)
        if not stay:
            rig.batcher.withdraw(ticket)
    answered: list[int] = []
    while batch := rig.take()[0]:
        answered += batch
    assert answered == [item for item, stay in enumerate(stays) if stay]


class Picture:
    """Something large."""


def test_withdrawn_tickets_are_not_kept() -> None:
    """Their pictures would pile up while clients come and go and the engine is busy."""
    batcher: Batcher[Picture] = Batcher(max_batch=3, capacity=5, clock=Clock())
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
    batcher: Batcher[Picture] = Batcher(max_batch=1, capacity=5, clock=rig.clock)
    picture = Picture()
    alive = weakref.ref(picture)
    gc.disable()
    try:
        ticket = batcher.put(picture, Due(rig.clock() + 1))
        if way == "withdrawn":
            assert batcher.withdraw(ticket)
        else:
            rig.clock.now += 2 if way == "expired" else 0
            batch = batcher.take()
            assert (batch.expired if way == "expired" else batch.tickets) == [ticket]
            if way == "served":
                batcher.done(batch)
            del batch
        del ticket, picture
        assert alive() is None
    finally:
        gc.enable()
