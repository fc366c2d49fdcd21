"""Clients that cancel, run out of time, or read slowly or not at all: only they notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    MIB,
    OPTIONS,
    TIMEOUT,
    Stub,
    ask,
    cancel,
    eventually,
    failure,
    heavy,
    in_flight,
    large,
    memory,
    metric,
    refused,
)


@pytest.fixture
def other(server: EmbeddedServer) -> Iterator[Stub]:
    """A second client with a connection of its own."""
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        yield Stub(channel)


def _works(stub: Stub, photo: bytes, timeout: float = TIMEOUT) -> None:
    answer = ask(stub, pb.ReconstructRequest(image=photo), timeout)
    assert answer.outcomes() == ["RECONSTRUCTED"]
    assert len(answer.mesh()) == answer.summary.faces[0].meshes[0].size


def _idle(server: EmbeddedServer) -> None:
    eventually(lambda: in_flight(server) == 0, "no photo in flight")


def test_cancel_before_the_first_answer(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    for _ in range(20):
        call = stub.Reconstruct(heavy(sample_photo), timeout=TIMEOUT)
        cancel(call)
    _idle(server)
    _works(stub, sample_photo)


def test_cancel_once_the_server_is_at_work(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    call = stub.Reconstruct(heavy(sample_photo), timeout=TIMEOUT)
    eventually(lambda: in_flight(server) == 1, "the photo is in flight")
    cancel(call)
    _idle(server)
    _works(stub, sample_photo)


def test_cancel_in_the_middle_of_the_meshes(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    """A client that leaves is no fault of the server: not in its metrics, not in its log."""

    def counted(code: str) -> float:
        return metric(server, "protome_requests_total", method="Reconstruct", code=code)

    cancelled, internal = counted("CANCELLED"), counted("INTERNAL")
    said_before = len(server.log.read_text())
    for _ in range(4):
        call = stub.Reconstruct(large(sample_photo, 4), timeout=TIMEOUT)
        for event in call:
            if event.HasField("chunk"):
                break
        cancel(call)
        _idle(server)
    assert counted("CANCELLED") == cancelled + 4
    assert counted("INTERNAL") == internal
    assert "Traceback" not in server.log.read_text()[said_before:]
    _works(stub, sample_photo)


def test_connection_closed_in_the_middle(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        call = Stub(channel).Reconstruct(heavy(sample_photo), timeout=TIMEOUT)
        next(iter(call))
    _idle(server)
    _works(stub, sample_photo)


@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.3])
def test_deadline_too_short(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes, seconds: float
) -> None:
    began = time.monotonic()
    problem = refused(stub, heavy(sample_photo), timeout=seconds)
    assert problem.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < seconds + 5
    _idle(server)
    eventually(lambda: metric(server, "protome_queue_depth_faces") == 0, "no face waits")
    _works(stub, sample_photo)


def test_work_stops_soon_after_the_deadline(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    """Sixteen fine meshes are seconds of work: most of it must not be done for nobody."""
    before = metric(server, "protome_mesh_size_bytes_count")
    refused(stub, heavy(sample_photo), timeout=0.5)
    _idle(server)
    _works(stub, sample_photo)
    assert metric(server, "protome_mesh_size_bytes_count") - before < 12


def test_deadlines_passed_are_counted_as_such(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    def counted() -> float:
        return metric(
            server, "protome_requests_total", method="Reconstruct", code="DEADLINE_EXCEEDED"
        )

    before = counted()
    for seconds in (0.2, 0.4, 0.6, 0.8):
        refused(stub, heavy(sample_photo), timeout=seconds)
        _idle(server)
    assert counted() == before + 4


def test_client_that_never_reads_does_not_block_others(
    server: EmbeddedServer, stub: Stub, other: Stub, sample_photo: bytes
) -> None:
    # 88 MB of meshes; three faces each would come to ``max_held_bytes``.
    silent = [stub.Reconstruct(heavy(sample_photo, 2), timeout=TIMEOUT) for _ in range(3)]
    eventually(lambda: in_flight(server) == 3, "three photos are in flight")
    for _ in range(3):
        _works(other, sample_photo, timeout=20)
    # They stay unread for as long as they like, and then all of it is there.
    assert in_flight(server) == 3
    answers = 0
    for call in silent[:1]:
        answers += sum(event.HasField("summary") for event in call)
    assert answers == 1
    for call in silent[1:]:
        cancel(call)
    _idle(server)


@pytest.fixture(scope="module")
def impatient() -> Iterator[EmbeddedServer]:
    """A server that waits a second for a client to read."""
    with EmbeddedServer(["--send-seconds", "1"]) as running:
        yield running


@pytest.mark.parametrize("many", [False, True], ids=["Reconstruct", "ReconstructMany"])
def test_client_that_stalls_for_too_long_gets_client_gone(
    impatient: EmbeddedServer, sample_photo: bytes, many: bool
) -> None:
    """Not that all is well, with answers missing."""
    request = large(sample_photo, 2)
    photos = [pb.ReconstructManyRequest(request_id=str(i), request=request) for i in range(3)]
    with grpc.insecure_channel(impatient.address) as channel:
        stub = Stub(channel)
        call = (
            stub.ReconstructMany(iter(photos), timeout=TIMEOUT)
            if many
            else stub.Reconstruct(request, timeout=TIMEOUT)
        )
        next(iter(call))
        _idle(impatient)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            list(iter(call))
        # The call itself would last for two minutes.
        assert time.monotonic() - began < 20
        problem = failure(caught.value)
        assert (problem.code, problem.reason) == (grpc.StatusCode.CANCELLED, "CLIENT_GONE")
        _works(stub, sample_photo)


def test_slow_client_gets_everything_and_does_not_block_others(
    server: EmbeddedServer, stub: Stub, other: Stub, sample_photo: bytes
) -> None:
    done = threading.Event()
    call = stub.Reconstruct(heavy(sample_photo, 2), timeout=TIMEOUT)
    for number, event in enumerate(call):
        if event.HasField("chunk"):
            # Between two of its reads another client is served from end to end.
            if number in (2, 20, 60):
                _works(other, sample_photo, timeout=20)
        elif event.HasField("summary"):
            done.set()
            assert [len(face.meshes) for face in event.summary.faces] == [1, 1]
    assert done.is_set()
    _idle(server)


def test_clients_that_never_read_do_not_fill_the_memory(sample_photo: bytes) -> None:
    """Meshes nobody takes must not pile up: a request may hold a few, not all of its own."""
    calls = 12
    with (
        EmbeddedServer() as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        stub = Stub(channel)
        ask(stub, large(sample_photo, 1))
        silent = [stub.Reconstruct(large(sample_photo), timeout=TIMEOUT) for _ in range(calls)]
        peak, settled = 0, time.monotonic()
        built = -1.0
        while time.monotonic() - settled < 3 and peak < 1500 * MIB:
            peak = max(peak, memory(server))
            now = metric(server, "protome_mesh_size_bytes_count")
            if now != built:
                built, settled = now, time.monotonic()
            time.sleep(0.05)
        for call in silent:
            cancel(call)
        assert peak < 1500 * MIB, f"{peak / MIB:.0f} MiB after {built:.0f} meshes"
