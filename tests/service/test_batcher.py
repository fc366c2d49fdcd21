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

from protome.batcher import Batcher, QueueFull, Ticket

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
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.batcher: Batcher[int] = Batcher(
            max_batch=self.max_batch, capacity=self.capacity, clock=self.clock
        )

    def take(self) -> tuple[list[int], list[int]]:
        batch, expired = self.batcher.take()
        return [ticket.item for ticket in batch], [ticket.item for ticket in expired]


@pytest.mark.parametrize(("max_batch", "capacity"), [(0, 1), (1, 0), (-1, 5)])
def test_bounds_below_one_are_refused(max_batch: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rig(max_batch, capacity)


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
        rig.batcher.put(item, deadline)
    rig.clock.now = 102
    assert rig.take() == ([0, 2, 4], [1, 3])
    assert len(rig.batcher) == 0


def test_a_deadline_is_passed_when_it_is_reached() -> None:
    rig = Rig()
    rig.batcher.put(1, rig.clock.now)
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


class Schedules(RuleBasedStateMachine):
    """Random put, withdraw, advance and take, next to a plain model of what must happen."""

    tickets: Bundle[Ticket[int]] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(max_batch=3, capacity=6)
        self.waiting: list[Ticket[int]] = []
        self.gone: set[int] = set()
        self.next = 0

    @rule(target=tickets, wait=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0, INFINITE]))
    def put(self, wait: float) -> Ticket[int] | MultipleResults[Ticket[int]]:
        item, self.next = self.next, self.next + 1
        if len(self.waiting) == 6:
            with pytest.raises(QueueFull):
                self.rig.batcher.put(item, self.rig.clock.now + wait)
            return multiple()
        ticket = self.rig.batcher.put(item, self.rig.clock.now + wait)
        assert ticket.queued_at == self.rig.clock.now
        self.waiting.append(ticket)
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
        batch, expired = self.rig.batcher.take()
        now = self.rig.clock.now
        left = batch + expired
        items = [ticket.item for ticket in left]
        assert len(set(items)) == len(items)
        assert not self.gone & set(items), "answered twice, or after it was withdrawn"
        assert len(batch) <= 3
        assert all(ticket.deadline > now for ticket in batch)
        assert all(ticket.deadline <= now for ticket in expired)
        for tickets in (batch, expired):
            assert [t.item for t in tickets] == sorted(t.item for t in tickets)
        # First come, first served: those that left are the head of the queue.
        assert set(left) == set(self.waiting[: len(left)])
        self.waiting = self.waiting[len(left) :]
        self.gone |= set(items)
        # Never idle: a batch is short only when nobody is left.
        assert len(batch) == 3 or not self.waiting

    @precondition(lambda self: self.waiting)
    @rule()
    def drain(self) -> None:
        for _ in range(len(self.waiting) + 1):
            self.take()
        assert not self.waiting

    @invariant()
    def the_length_is_right_and_bounded(self) -> None:
        assert len(self.rig.batcher) == len(self.waiting) <= 6

    @invariant()
    def the_age_is_right(self) -> None:
        expected = self.rig.clock.now - self.waiting[0].queued_at if self.waiting else 0
        assert self.rig.batcher.oldest_age == expected


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True, database=None
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
