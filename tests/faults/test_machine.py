"""A clock that jumps, a machine that sleeps."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import psutil

from protome.embedded import EmbeddedServer

from .conftest import Fault
from .load import Load, Rest, heals

SERVICE = Path(__file__).parents[2] / "service" / "protome"
# Reads of the wall clock: what they decide moves when it jumps.
WALL_CLOCK = {"time", "time_ns", "localtime", "now", "utcnow", "today"}


def test_a_clock_that_jumps_by_a_day_changes_nothing(
    server: EmbeddedServer, photo: bytes, fault: Fault
) -> None:
    """Calls have no deadline here: gRPC alone reckons those with the wall clock, in the moment a
    call arrives, and both of its clocks would have to jump between."""
    before = Rest.of(server)
    with Load(server, photo, timeout=None) as load:
        fault("clock 86400")
        load.progress(10)
        fault("clock -86400")
        load.progress(5)
    assert load.failed == {}
    # The calls that follow have a deadline.
    fault("none")
    heals(server, photo, before)


def test_a_server_that_was_stopped_goes_on(server: EmbeddedServer, photo: bytes) -> None:
    """For longer than a task may take, as when a machine sleeps: what was in work may be lost."""
    before = Rest.of(server)
    process = psutil.Process(server.process.pid)
    with Load(server, photo, timeout=60) as load:
        process.suspend()
        time.sleep(6)
        process.resume()
        load.progress(5)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 2
    heals(server, photo, before)


def test_only_spans_read_the_wall_clock() -> None:
    readers = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in ("time", "datetime", "date"):
                    readers |= {path.stem} if node.func.attr in WALL_CLOCK else set()
    assert readers == {"tracing"}
