"""Clients that vanish, read slowly or never, send slowly, or only connect."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    Stub,
    cancel,
    eventually,
    heavy,
    in_flight,
    metric,
)

from .conftest import SLOW
from .load import Load, Rest, connect, heals

IDLE = 1000


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
            with connect(server) as channel:
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
    with Load(server, photo) as load, connect(server) as never, connect(server) as slow:
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
            channel = stack.enter_context(connect(server))
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
