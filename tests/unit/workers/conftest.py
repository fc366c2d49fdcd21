"""Fixtures for all tests of the pool."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.unit.workers.rig import pids


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    left = pids()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "worker processes outlived their pool"
