"""The cap on a batch: down at once, up again after a while."""

from __future__ import annotations

from protome.model.cap import LONGEST_PATIENCE, PATIENCE, Cap


def good_runs_until_it_climbs(cap: Cap, limit: int = 10**5) -> int:
    """How many good runs it takes."""
    before = cap.value
    for count in range(1, limit):
        cap.worked()
        if cap.value > before:
            return count
    raise AssertionError(f"still {cap.value} after {limit} good runs")


def test_it_begins_at_the_most_and_stays_there() -> None:
    cap = Cap(32)
    for _ in range(3 * PATIENCE):
        cap.worked()
    assert cap.value == 32


def test_each_failure_halves_what_failed() -> None:
    cap = Cap(32)
    values = []
    for faces in (32, 16, 7, 3, 1):
        cap.failed(faces)
        values.append(cap.value)
    assert values == [16, 8, 3, 1, 1]


def test_a_failure_of_more_than_is_allowed_by_now_changes_nothing() -> None:
    cap = Cap(32)
    cap.failed(8)
    cap.failed(32)
    assert cap.value == 4


def test_it_climbs_back_to_the_most_and_no_further() -> None:
    cap = Cap(12)
    cap.failed(12)
    cap.failed(6)
    assert cap.value == 3
    assert good_runs_until_it_climbs(cap) == PATIENCE
    assert cap.value == 6
    assert good_runs_until_it_climbs(cap) == PATIENCE
    assert cap.value == 12
    for _ in range(3 * PATIENCE):
        cap.worked()
    assert cap.value == 12


def test_a_climb_that_fails_is_tried_half_as_often() -> None:
    cap = Cap(8, patience=10)
    cap.failed(8)
    waits = []
    for _ in range(12):
        waits.append(good_runs_until_it_climbs(cap))
        cap.failed(8)
        assert cap.value == 4
    assert waits[:5] == [10, 20, 40, 80, 160]
    assert waits[-1] == LONGEST_PATIENCE


def test_a_climb_that_holds_makes_it_patient_as_before() -> None:
    cap = Cap(8, patience=10)
    for _ in range(3):
        cap.failed(8)
        good_runs_until_it_climbs(cap)
    for _ in range(10**3):
        cap.worked()
    assert cap.value == 8
    cap.failed(8)
    assert good_runs_until_it_climbs(cap) == 10
