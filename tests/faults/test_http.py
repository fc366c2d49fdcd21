"""Half-open connections to the HTTP listener."""

from __future__ import annotations

import contextlib
import socket
import time

import psutil

from protome.embedded import EmbeddedServer
from protome.telemetry.http import MAX_CONNECTIONS
from tests.support.service import eventually, http_get

from .load import Load, Rest, heals

HALF_OPEN = 500
SOON = 5.0


def test_half_open_connections_neither_exhaust_it_nor_keep_others_out(
    server: EmbeddedServer, photo: bytes
) -> None:
    before = Rest.of(server)
    process = psutil.Process(server.process.pid)
    host, port = server.http.split(":")
    with Load(server, photo) as load, contextlib.ExitStack() as stack:
        # Connections of the load come and go beside them.
        room = 40 + MAX_CONNECTIONS
        descriptors, threads = process.num_fds(), process.num_threads()
        for number in range(HALF_OPEN):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 10))
            # Nothing, half a line, half of the headers.
            said = (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ")[number % 3]
            with contextlib.suppress(OSError):
                connection.sendall(said)
            if number % 100 == 99:
                began = time.monotonic()
                status, text = http_get(server, "/metrics")
                assert (status, "protome_ready 1.0" in text) == (200, True)
                assert http_get(server, "/healthz")[0] == 200
                assert time.monotonic() - began < SOON
                assert process.num_fds() <= descriptors + room
                assert process.num_threads() <= threads + room
        load.progress(3)
        # While all of them are still there.
        assert http_get(server, "/readyz")[0] == 200
    assert load.failed == {}
    heals(server, photo, before)


def test_a_client_that_reads_nothing_does_not_keep_others_out(server: EmbeddedServer) -> None:
    host, port = server.http.split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.connect((host, int(port)))
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert http_get(server, "/metrics")[0] == 200
    eventually(lambda: http_get(server, "/healthz")[0] == 200, "it answers")
