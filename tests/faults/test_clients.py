"""Clients that vanish, read slowly or never, send slowly, or only connect."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.http2 import Client
from tests.support.service import (
    OPTIONS,
    SMALL,
    Stub,
    ask,
    cancel,
    eventually,
    failure,
    heavy,
    in_flight,
    metric,
    whole,
    workers,
)

from .conftest import SLOW
from .load import Load, Rest, heals

IDLE = 1000


def _connect(server: EmbeddedServer) -> grpc.Channel:
    return grpc.insecure_channel(server.address, options=OPTIONS)


def _many_meshes(photo: bytes, faces: int) -> pb.ReconstructRequest:
    """More bytes than flow control lets go unread."""
    request = heavy(photo, faces)
    request.detail = pb.DETAIL_LEVEL_STANDARD
    return request


def test_clients_that_vanish_in_the_middle(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        for reads in (0, 1, 3):
            with _connect(server) as channel:
                calls = [
                    Stub(channel).Reconstruct(_many_meshes(sample_photo, 4), timeout=60)
                    for _ in range(3)
                ]
                for call in calls:
                    for _ in zip(range(reads), call, strict=False):
                        pass
            # The connection is gone, with all that was on it.
        load.progress(5)
    assert load.failed == {}
    heals(server, photo, before)


def test_clients_that_read_slowly_or_never(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load, _connect(server) as never, _connect(server) as slow:
        silent: list[Any] = [
            Stub(never).Reconstruct(_many_meshes(sample_photo, 4), timeout=60) for _ in range(4)
        ]
        eventually(lambda: in_flight(server) >= 4, "they are in work")
        read = 0
        for event in Stub(slow).Reconstruct(_many_meshes(sample_photo, 1), timeout=60):
            time.sleep(0.05)
            read += event.HasField("summary")
        assert read == 1
        load.progress(5)
        for call in silent:
            cancel(call)
    assert load.failed == {}
    heals(server, photo, before)


def test_clients_that_send_slowly(server: EmbeddedServer, photo: bytes) -> None:
    """More slow uploads than allowed: the ended ones get an error, no other call is affected."""
    before = Rest.of(server)
    done = threading.Event()

    def drip() -> Iterator[pb.ReconstructRequest]:
        done.wait(60)
        yield from ()

    with Load(server, photo) as load, contextlib.ExitStack() as stack:
        calls: list[Any] = []
        for _ in range(SLOW + 4):
            channel = stack.enter_context(_connect(server))
            method = channel.stream_stream(
                "/protome.v1.ReconstructionService/Reconstruct",
                pb.ReconstructRequest.SerializeToString,
                pb.ReconstructResponse.FromString,
            )
            calls.append(method(drip(), timeout=60))
        # They wait for a place, two at a time.
        eventually(lambda: sum(call.done() for call in calls) >= 4, "four are ended", 30)
        load.progress(5)
        ended = [call for call in calls if call.done()]
        assert {call.code() for call in ended} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        for call in calls:
            call.cancel()
        done.set()
    assert load.failed == {}
    heals(server, photo, before)


def test_a_thousand_idle_connections(server: EmbeddedServer, photo: bytes) -> None:
    before = Rest.of(server)
    host, port = server.address.split(":")
    with Load(server, photo) as load, contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 10))
            # HTTP/2 (RFC 9113, 3.4): the client's preface and empty settings.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4)) + bytes(5))
        eventually(lambda: Rest.of(server).descriptors >= IDLE, "they are connected")
        assert metric(server, "protome_ready") == 1
        load.progress(5)
    assert load.failed == {}
    heals(server, photo, before)


def test_more_connections_than_may_be_leave_room_for_what_the_server_needs(photo: bytes) -> None:
    """Those over the limit are closed at once; a worker can be replaced, probes are answered."""
    most = 20
    with (
        EmbeddedServer([*SMALL, "--max-connections", str(most)]) as server,
        _connect(server) as channel,
        contextlib.ExitStack() as stack,
    ):
        ask(Stub(channel), pb.ReconstructRequest(image=photo))
        before = Rest.of(server)
        connections = [stack.enter_context(Client(server)) for _ in range(10 * most)]
        eventually(lambda: sum(c.closed() for c in connections) > 9 * most, "most are closed")
        assert Rest.of(server).descriptors <= before.descriptors + most
        workers(server)[0].kill()
        eventually(lambda: metric(server, "protome_worker_restarts_total") == 1, "it is noticed")
        whole(server, 2)
        # Who was there before is served.
        assert ask(Stub(channel), pb.ReconstructRequest(image=photo)).events[-1] == "summary"
        stack.close()

        def served() -> bool:
            with _connect(server) as new:
                try:
                    ask(Stub(new), pb.ReconstructRequest(image=photo))
                except grpc.RpcError:
                    return False
                return True

        eventually(served, "others are let in")
        eventually(lambda: Rest.of(server).descriptors <= before.descriptors, "as before")


def test_more_calls_of_a_connection_than_may_be(photo: bytes) -> None:
    """gRPC clients wait; who does not, and who comes too soon after another, is refused before
    anything of it is looked at."""
    with (
        EmbeddedServer([*SMALL, "--max-connection-calls", "2"]) as server,
        _connect(server) as channel,
        ThreadPoolExecutor(12) as threads,
    ):
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        # Once its connection stands, a client knows the number.
        ask(Stub(channel), request)

        def outcome(_: int) -> str:
            try:
                return ask(Stub(channel), request, None).events[-1]
            except grpc.RpcError as error:
                return str(failure(error).code.name)

        most = 0.0
        answers = [threads.submit(outcome, number) for number in range(24)]
        while not all(answer.done() for answer in answers):
            most = max(most, in_flight(server))
        outcomes = Counter(answer.result() for answer in answers)
        assert set(outcomes) <= {"summary", "UNAVAILABLE"}
        assert outcomes["summary"] >= 12
        assert most <= 2
        with Client(server) as client:
            streams = [client.half("Reconstruct") for _ in range(6)]
            assert client.ended(4, 10) == set(streams[2:])
        assert ask(Stub(channel), request).events[-1] == "summary"


def test_more_open_calls_than_may_be_are_refused_and_forgotten(photo: bytes) -> None:
    """Watches of health need no token and no photo, and never end."""
    most = 30
    with EmbeddedServer([*SMALL, "--max-calls", str(most)]) as server, _connect(server) as channel:
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        ask(Stub(channel), request)
        before = Rest.of(server)
        with _connect(server) as hostile:
            health = health_pb2_grpc.HealthStub(hostile)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(4 * most)]
            eventually(lambda: sum(watch.done() for watch in watches) >= 3 * most, "refused")
            refused = [watch for watch in watches if watch.done()]
            assert {watch.code() for watch in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            with pytest.raises(grpc.RpcError) as caught:
                ask(Stub(channel), request)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            # Probes have a listener of their own.
            assert metric(server, "protome_ready") == 1
        heals(server, photo, before)
