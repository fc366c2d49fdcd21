"""Learned times: right on clean data, steady under noise, quick to follow a change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protome.scheduling.learned_times import Affine, Mean
from tests.support.shapes import seeded

SIZES = (1, 2, 4, 8, 16, 32)


def test_nothing_is_known_at_first() -> None:
    assert Affine().predict(5) == 0
    assert not Mean().known
    assert Mean().value == 0


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.02), (0.0, 0.03), (0.05, 0.0)])
def test_a_line_is_found(a: float, b: float) -> None:
    line = Affine()
    for _ in range(3):
        for n in SIZES:
            line.observe(n, a + b * n)
    assert line.a == pytest.approx(a, abs=1e-6)
    assert line.b == pytest.approx(b, abs=1e-6)


def test_one_size_alone_errs_on_the_long_side() -> None:
    line = Affine()
    for _ in range(10):
        line.observe(2, 0.1)
    assert line.predict(2) == pytest.approx(0.1)
    assert line.predict(4) == pytest.approx(0.2)


def test_noise_averages_out() -> None:
    line, random = Affine(), seeded(5)
    for _ in range(300):
        n = int(random.choice(SIZES))
        line.observe(n, (0.02 + 0.01 * n) * random.uniform(0.8, 1.2))
    for n in SIZES:
        assert line.predict(n) == pytest.approx(0.02 + 0.01 * n, rel=0.15)


def test_one_stall_moves_little_and_a_change_is_followed() -> None:
    line, mean = Affine(), Mean()
    for _ in range(50):
        for n in (1, 2, 4):
            line.observe(n, 0.01 * n)
        mean.observe(0.01)
    line.observe(4, 60.0)
    mean.observe(60.0)
    assert line.predict(4) < 0.07
    assert mean.value < 0.014
    for _ in range(100):
        for n in (1, 2, 4):
            line.observe(n, 0.03 * n)
        mean.observe(0.03)
    assert line.predict(4) == pytest.approx(0.12, rel=0.1)
    assert mean.value == pytest.approx(0.03, rel=0.05)


@given(st.lists(st.tuples(st.integers(1, 32), st.floats(0, 100)), min_size=1, max_size=60))
@settings(deadline=None, derandomize=True, database=None)
def test_estimates_are_never_negative_nor_beyond_what_was_seen(
    seen: list[tuple[int, float]],
) -> None:
    line, mean = Affine(), Mean()
    for n, seconds in seen:
        line.observe(n, seconds)
        mean.observe(seconds)
        assert line.a >= 0
        assert line.b >= 0
    longest = max(seconds for _, seconds in seen)
    assert 0 <= mean.value <= longest * (1 + 1e-9)
    assert all(line.predict(n) <= longest * 33 for n in SIZES)
