"""Workers that are killed, stopped, or cannot be had."""

from __future__ import annotations

import resource

import psutil
import pytest

from protome.embedded import EmbeddedServer
from tests.e2e.support import MIB, eventually, metric, workers

from .load import Load, Rest, heals


def _restarts(server: EmbeddedServer) -> float:
    return metric(server, "protome_worker_restarts_total")


def test_workers_that_are_killed(server: EmbeddedServer, photo: bytes) -> None:
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load:
        for killed in range(1, 4):
            workers(server)[0].kill()
            eventually(lambda k=killed: _restarts(server) >= restarts + k, "it is replaced")  # type: ignore[misc]
            load.progress(3)
    # Each takes one photo with it at most, or a face of it.
    assert set(load.failed) <= {"WORKER_DIED"}
    assert sum(load.failed.values()) <= 3
    heals(server, photo, before)


def test_a_worker_that_stops_answering(server: EmbeddedServer, photo: bytes) -> None:
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load:
        workers(server)[0].suspend()
        # The other one goes on meanwhile, and after task_seconds there are two again.
        load.progress(3)
        eventually(lambda: _restarts(server) == restarts + 1, "it is replaced", 10)
        load.progress(3)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


@pytest.mark.parametrize("limit", [resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE])
def test_no_shared_memory_for_a_new_worker(
    server: EmbeddedServer, photo: bytes, limit: int
) -> None:
    """It cannot be made, or has no descriptor: the server goes on with what it has, and tries."""
    before = Rest.of(server)
    process = psutil.Process(server.process.pid)
    normal = process.rlimit(limit)
    with Load(server, photo) as load:
        try:
            # Less than a mailbox, more than the log; fewer than are open.
            lowest = 64 * MIB if limit == resource.RLIMIT_FSIZE else process.num_fds() // 2
            process.rlimit(limit, (lowest, normal[1]))
            workers(server)[0].kill()
            eventually(lambda: b"cannot start a worker" in server.log.read_bytes(), "it is said")
            load.progress(3)
        finally:
            process.rlimit(limit, normal)
        eventually(lambda: len(workers(server)) == 2, "there are two again")
        load.progress(3)
    assert set(load.failed) <= {"WORKER_DIED", "UNAVAILABLE"}
    heals(server, photo, before)
