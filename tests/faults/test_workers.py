"""Workers that are killed, stopped, or cannot be had."""

from __future__ import annotations

import resource

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedServer
from tests.support.service import (
    MIB,
    Stub,
    cancel,
    eventually,
    heavy,
    in_flight,
    metric,
    restarts,
    whole,
    workers,
)

from .load import Load, Rest, heals


def test_workers_that_are_killed(server: EmbeddedServer, photo: bytes) -> None:
    before, earlier = Rest.of(server), restarts(server)
    with Load(server, photo) as load:
        for killed in range(1, 4):
            workers(server)[0].kill()
            eventually(lambda k=killed: restarts(server) >= earlier + k, "it is noticed")  # type: ignore[misc]
            whole(server, 2)
            load.progress(3)
    assert restarts(server) == earlier + 3
    # Each takes one photo with it at most, or a face of it.
    assert set(load.failed) <= {"WORKER_DIED"}
    assert sum(load.failed.values()) <= 3
    heals(server, photo, before)


def test_a_worker_that_stops_answering(server: EmbeddedServer, photo: bytes) -> None:
    before, earlier = Rest.of(server), restarts(server)
    with Load(server, photo) as load:
        workers(server)[0].suspend()
        # The other one goes on meanwhile, and after task_seconds there are two again.
        load.progress(3)
        eventually(lambda: restarts(server) == earlier + 1, "it is ended", 20)
        whole(server, 2)
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
        whole(server, 2)
        load.progress(3)
    assert set(load.failed) <= {"WORKER_DIED", "UNAVAILABLE"}
    heals(server, photo, before)


def test_a_worker_that_is_stopped_while_its_clients_leave(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes
) -> None:
    """Its shared memory is freed once it is replaced, though the call has ended."""
    before, earlier = Rest.of(server), restarts(server)
    with Load(server, photo) as load, grpc.insecure_channel(server.address) as channel:
        calls = [Stub(channel).Reconstruct(heavy(sample_photo, 2), timeout=60) for _ in range(4)]
        eventually(lambda: in_flight(server) >= 4, "they are in work")
        stopped = workers(server)[0]
        stopped.suspend()
        for call in calls:
            cancel(call)
        eventually(lambda: restarts(server) == earlier + 1, "it is ended", 20)
        whole(server, 2)
        assert not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE
        load.progress(3)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


def test_a_successor_that_dies_while_it_starts_is_counted_too(
    server: EmbeddedServer, photo: bytes
) -> None:
    before, earlier = Rest.of(server), restarts(server)
    with Load(server, photo) as load:
        for killed in range(1, 4):
            # The first is at work, those after it are starting.
            eventually(lambda: len(workers(server)) == 2, "another is starting")
            assert metric(server, "protome_workers") == (2 if killed == 1 else 1)
            workers(server)[-1].kill()
            eventually(lambda k=killed: restarts(server) == earlier + k, "it is counted")  # type: ignore[misc]
        load.progress(3)
        whole(server, 2)
    assert restarts(server) == earlier + 3
    assert set(load.failed) <= {"WORKER_DIED"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


def test_all_workers_killed_at_once_and_their_successors_too(
    server: EmbeddedServer, photo: bytes
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        for _ in range(3):
            gone = {worker.pid for worker in workers(server)}
            for pid in gone:
                psutil.Process(pid).kill()
            eventually(
                lambda g=gone: bool({w.pid for w in workers(server)} - g),  # type: ignore[misc]
                "another is starting",
            )
        load.progress(3)
    assert set(load.failed) <= {"WORKER_DIED"}
    heals(server, photo, before)
