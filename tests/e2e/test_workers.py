"""A worker that dies takes one request with it, and the pool heals."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.photos import endless_scans
from tests.support.service import (
    OPTIONS,
    Answer,
    Failure,
    Stub,
    ask,
    eventually,
    failure,
    heavy,
    in_flight,
    restarts,
    whole,
    workers,
)


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(["--max-batch", "1", "--workers", "3", "--max-scans", "10000"]) as running:
        yield running


@pytest.fixture
def own_stub(own: EmbeddedServer) -> Iterator[Stub]:
    with grpc.insecure_channel(own.address, options=OPTIONS) as channel:
        yield Stub(channel)


def _outcome(stub: Stub, request: pb.ReconstructRequest) -> Answer | Failure:
    try:
        return ask(stub, request)
    except grpc.RpcError as error:
        return failure(error)


def _healed(server: EmbeddedServer, gone: set[int]) -> None:
    def full() -> bool:
        return len({worker.pid for worker in workers(server)} - gone) == 3

    eventually(full, "three live workers")
    whole(server, 3)


def test_a_worker_killed_during_a_request_fails_only_that_request(
    own: EmbeddedServer, own_stub: Stub, sample_photo: bytes
) -> None:
    photo = pb.ReconstructRequest(image=sample_photo)
    alone, before = ask(own_stub, photo).mesh(), restarts(own)
    at_rest = {worker.pid: worker.cpu_times().user for worker in workers(own)}

    def at_work() -> list[psutil.Process]:
        return [w for w in workers(own) if w.cpu_times().user > at_rest[w.pid] + 0.5]

    with ThreadPoolExecutor(3) as threads:
        endless = pb.ReconstructRequest(image=endless_scans())
        poisoned = threads.submit(_outcome, own_stub, endless)
        eventually(lambda: bool(at_work()), "a worker is busy with the endless photo")
        (victim,) = at_work()
        others = [threads.submit(_outcome, own_stub, photo) for _ in range(2)]
        victim.kill()
        died = poisoned.result()
        outcomes = [answer.result() for answer in others]
    assert isinstance(died, Failure)
    assert (died.code, died.reason) == (grpc.StatusCode.UNAVAILABLE, "WORKER_DIED")
    assert died.retry_seconds
    assert [o.mesh() for o in outcomes if isinstance(o, Answer)] == [alone, alone]
    _healed(own, {victim.pid})
    assert restarts(own) == before + 1
    assert ask(own_stub, photo).mesh() == alone


def test_idle_worker_that_dies_is_replaced_without_a_failed_request(
    own: EmbeddedServer, own_stub: Stub, sample_photo: bytes
) -> None:
    photo = pb.ReconstructRequest(image=sample_photo)
    alone, before = ask(own_stub, photo).mesh(), restarts(own)
    victim = workers(own)[0]
    victim.kill()
    eventually(lambda: restarts(own) == before + 1, "its death was noticed")
    for _ in range(4):
        assert ask(own_stub, photo).mesh() == alone
    _healed(own, {victim.pid})


def test_all_workers_killed_at_once_come_back(
    own: EmbeddedServer, own_stub: Stub, sample_photo: bytes
) -> None:
    photo = pb.ReconstructRequest(image=sample_photo)
    alone, before = ask(own_stub, photo).mesh(), restarts(own)
    gone = {worker.pid for worker in workers(own)}
    with ThreadPoolExecutor(6) as threads:
        answers = [threads.submit(_outcome, own_stub, heavy(sample_photo, 2)) for _ in range(6)]
        eventually(lambda: in_flight(own) == 6, "six photos are in flight")
        for pid in gone:
            with contextlib.suppress(ProcessLookupError):
                psutil.Process(pid).send_signal(signal.SIGKILL)
        outcomes = [answer.result() for answer in answers]
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNAVAILABLE, "WORKER_DIED")
        else:
            # A face may have been lost; it is said, and the rest of the answer is whole.
            assert outcome.events[-1] == "summary"
    _healed(own, gone)
    assert in_flight(own) == 0
    assert restarts(own) == before + 3
    assert ask(own_stub, photo).mesh() == alone


def test_photo_that_arrives_while_all_workers_are_down_waits_for_one(
    own: EmbeddedServer, own_stub: Stub, sample_photo: bytes
) -> None:
    photo = pb.ReconstructRequest(image=sample_photo)
    alone, before = ask(own_stub, photo).mesh(), restarts(own)
    gone = {worker.pid for worker in workers(own)}
    for worker in workers(own):
        worker.kill()
    eventually(lambda: restarts(own) > before, "the first death was noticed")
    assert ask(own_stub, photo).mesh() == alone
    _healed(own, gone)


def test_workers_leave_nothing_of_a_photo_behind_on_disk(own: EmbeddedServer) -> None:
    """Shared memory is anonymous: no worker has a file open that another process could find."""
    for worker in workers(own):
        named = [file.path for file in worker.open_files() if "/dev/shm" in file.path]
        assert named == []
