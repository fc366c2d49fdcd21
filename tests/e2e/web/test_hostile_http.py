"""Plain HTTP with clients that are many, slow, or gone; and with a server that ends."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from protome.embedded import EmbeddedServer
from tests.support.http import RECONSTRUCT, HttpAnswer, call, reconstruct
from tests.support.service import MIB, ONE_WORKER, SMALL, eventually, in_flight, memory, metric

HEAD = "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n"


def fine(faces: int, format_: str = "stl") -> str:
    """A query for so many fine meshes of the sample, 16 MB each in an answer of JSON."""
    return f"detail=fine&formats={format_}&" + "&".join(
        f"boxes={170 + i},60,88,110" for i in range(faces)
    )


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedServer]:
    with EmbeddedServer([*SMALL, "--receive-seconds", "4", "--send-seconds", "2"]) as running:
        yield running


def connect(server: EmbeddedServer) -> socket.socket:
    host, port = server.web.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def begin(server: EmbeddedServer, size: int, query: str = "") -> socket.socket:
    """A connection with the head of a photo of this size."""
    connection = connect(server)
    path = f"{RECONSTRUCT}?{query}" if query else RECONSTRUCT
    connection.sendall(HEAD.format(path=path, size=size).encode())
    return connection


def test_a_hundred_clients_are_all_answered(small: EmbeddedServer, sample_photo: bytes) -> None:
    def one(_: int) -> HttpAnswer:
        return reconstruct(small.web, sample_photo, "detail=preview&timeout=60")

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(one, range(100)))
    counts = Counter(answer.status for answer in answers)
    assert set(counts) <= {200, 503}
    assert counts[200] >= 50
    meshes = {answer.body for answer in answers if answer.status == 200}
    assert len({len(mesh) // 10_000 for mesh in meshes}) <= 2
    for answer in answers:
        if answer.status == 503:
            assert answer.reason == "OVERLOADED"
            assert int(answer.headers["retry-after"]) >= 1


def test_photos_that_do_not_arrive_do_not_stop_others(
    small: EmbeddedServer, sample_photo: bytes
) -> None:
    with contextlib.ExitStack() as open_:
        stuck = [open_.enter_context(begin(small, 5000)) for _ in range(40)]
        for connection in stuck:
            connection.sendall(b"\xff\xd8")
        began = time.monotonic()
        assert reconstruct(small.web, sample_photo, "detail=preview").status == 200
        assert time.monotonic() - began < 30
        statuses = Counter(connection.recv(4096).split(b" ")[1] for connection in stuck)
        # The slowest of too many, those that were still waiting, and those out of time.
        assert set(statuses) <= {b"503", b"408"}
    assert metric(small, "protome_requests_in_flight") == 0


def test_a_client_that_sends_no_request_is_cut(small: EmbeddedServer) -> None:
    with connect(small) as silent, connect(small) as slow:
        slow.sendall(b"GET / HT")
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(10) == b""
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(10) == b""
        assert 10 < time.monotonic() - began < 25


def test_a_photo_whose_client_leaves_is_dropped(small: EmbeddedServer, sample_photo: bytes) -> None:
    before = metric(small, "protome_requests_total", protocol="http", code="CANCELLED")
    with begin(small, len(sample_photo)) as leaving:
        leaving.sendall(sample_photo[:1000])
    connection = http.client.HTTPConnection(small.web, timeout=30)
    headers = {"accept": "application/json"}
    connection.request("POST", f"{RECONSTRUCT}?{fine(4)}", sample_photo, headers)
    eventually(lambda: in_flight(small) == 1, "the photo is in progress")
    connection.close()
    eventually(lambda: in_flight(small) == 0, "the photo is dropped")
    eventually(
        lambda: (
            metric(small, "protome_requests_total", protocol="http", code="CANCELLED") == before + 2
        ),
        "both are counted as cancelled",
    )


def test_a_client_that_does_not_read_is_cut(small: EmbeddedServer, sample_photo: bytes) -> None:
    host, port = small.web.split(":")
    before = metric(small, "protome_requests_total", protocol="http", code="CANCELLED")
    with socket.socket() as connection:
        # Before it connects: then it bounds the window that is offered.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        head = HEAD.format(path=f"{RECONSTRUCT}?{fine(4)}", size=len(sample_photo))
        head = head.replace("host: x", "host: x\r\naccept: application/json")
        connection.sendall(head.encode() + sample_photo)
        eventually(lambda: in_flight(small) == 1, "the photo is in progress")
        eventually(lambda: in_flight(small) == 0, "the photo ends")
        counted = metric(small, "protome_requests_total", protocol="http", code="CANCELLED")
        assert counted == before + 1
        # It was cut: what had been sent does not lead to an end.
        with contextlib.suppress(ConnectionResetError):
            while received := connection.recv(1 << 20):
                assert not received.endswith(b"0\r\n\r\n")
    assert reconstruct(small.web, sample_photo, "detail=preview").status == 200


def test_large_uploads_wait_at_their_clients(small: EmbeddedServer) -> None:
    """Sixty photos of 19 MiB at the same time, which are no pictures."""
    body = bytes(19 * MIB)
    with ThreadPoolExecutor(60) as threads:
        answers = list(threads.map(lambda _: reconstruct(small.web, body), range(60)))
    assert {answer.status for answer in answers} <= {408, 415, 503}
    assert memory(small) < 1400 * MIB


def test_the_port_is_off_on_request() -> None:
    with EmbeddedServer([*ONE_WORKER, "--no-web"]) as server:
        assert server.web == ""
        assert "plain HTTP" not in server.log.read_text()


def test_what_is_in_flight_is_finished_at_the_end(sample_photo: bytes) -> None:
    # Four meshes take one worker longer than the delay.
    flags = [*ONE_WORKER, "--drain-delay", "1"]
    with EmbeddedServer(flags) as server, ThreadPoolExecutor(1) as threads:
        idle = http.client.HTTPConnection(server.web, timeout=30)
        idle.request("GET", "/v1/info")
        idle.getresponse().read()
        long = threads.submit(
            reconstruct, server.web, sample_photo, fine(4, "obj"), "application/json"
        )
        eventually(lambda: in_flight(server) == 1, "a photo is in progress")
        server.process.send_signal(signal.SIGTERM)
        assert not long.done()
        # Within the delay, load balancers still send.
        assert reconstruct(server.web, sample_photo, "detail=preview").status == 200
        answer = long.result()
        assert answer.status == 200
        assert len(answer.json()["meshes"]) == 4
        assert server.process.wait(20) == 0
        with pytest.raises(OSError, match=r"refused|reset"):
            call(server.web, "/")
        idle.close()


def test_idle_connections_do_not_delay_the_end() -> None:
    flags = [*ONE_WORKER, "--drain-seconds", "3"]
    with EmbeddedServer(flags) as server, contextlib.ExitStack() as open_:
        for _ in range(10):
            open_.enter_context(connect(server))
        upload = open_.enter_context(begin(server, 5000))
        upload.sendall(b"\xff\xd8")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        # The photo that never arrives is given the time that calls in flight have.
        assert time.monotonic() - began < 25
