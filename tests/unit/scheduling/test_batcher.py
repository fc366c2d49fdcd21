"""The batcher under random schedules: nothing lost, nothing twice, in order, within bounds."""

from __future__ import annotations

import pytest

from protome.scheduling.batcher import Reason
from tests.unit.scheduling.rig import INFINITE, Rig, items


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


def test_expired_entries_do_not_take_a_place_in_the_batch() -> None:
    rig = Rig()
    for item, deadline in enumerate([105, 101, INFINITE, 102, INFINITE]):
        rig.batcher.put(item, latest_start=deadline)
    rig.clock.now = 102
    assert rig.take() == ([0, 2, 4], [1, 3])
    assert len(rig.batcher) == 0


def test_the_latest_start_itself_is_too_late() -> None:
    rig = Rig()
    rig.batcher.put(1, latest_start=rig.clock.now + 1)
    rig.clock.now += 1
    assert rig.take() == ([], [1])


def test_an_entry_can_be_withdrawn_once_and_only_while_it_waits() -> None:
    rig = Rig()
    first, second = rig.batcher.put(1), rig.batcher.put(2)
    assert rig.batcher.withdraw(first)
    assert not rig.batcher.withdraw(first)
    assert rig.take() == ([2], [])
    assert not rig.batcher.withdraw(second)
    assert len(rig.batcher) == 0


def test_an_entry_of_another_batcher_is_not_withdrawn() -> None:
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
    rig = Rig(in_flight=2)
    rig.learn(1, 1.0)
    rig.batcher.put(1)
    rig.batcher.take()
    rig.batcher.put(2)
    assert items(rig.batcher.take()) == []
    assert rig.batcher.wake_at == INFINITE
    rig.batcher.put(3, latest_start=rig.clock.now + 30)
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


def test_what_comes_too_late_is_not_computed() -> None:
    rig = Rig()
    rig.batcher.put(1, latest_start=rig.clock.now)
    rig.batcher.put(2, latest_start=rig.clock.now + 0.1)
    assert rig.take() == ([2], [1])


def test_what_got_too_late_in_the_queue_is_not_computed() -> None:
    rig = Rig()
    rig.batcher.put(1, latest_start=rig.clock.now + 1)
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
    rig = Rig(in_flight=2)
    for item in range(6):
        rig.batcher.put(item)
    first, second = rig.batcher.take(), rig.batcher.take()
    rig.clock.now += 3
    rig.batcher.done(first)
    rig.clock.now += 3
    rig.batcher.done(second)
    assert rig.batcher.times.predict(3) == pytest.approx(3)
