"""Fixtures for all tests of the pool."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from protome.workers import pool as pool_module
from tests.unit.workers.rig import pids


@pytest.fixture(autouse=True)
def heal_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die young here."""
    monkeypatch.setattr(pool_module, "RESTART_INTERVAL_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    left = pids()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "worker processes outlived their pool"
