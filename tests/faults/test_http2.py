"""What HTTP/2 permits, in excess, and what it does not: other connections never notice."""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections.abc import Callable

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Client,
    call,
    frame,
    text,
)
from tests.support.service import OPTIONS, Stub, ask, eventually

from .load import Load, Rest, heals

CONTINUATION = 9
CALL = call("Reconstruct")
LONG = b"\0" + text(b"x" * 100) + text(b"y" * 16_000)
# Kept in the table of the connection, and there again for a byte.
KEPT = b"\x40" + text(b"x") + text(b"y" * 3900)
AGAIN = b"\xbe"


def _opened(stream: int = 1, more: bytes = b"") -> bytes:
    return frame(HEADERS, END_HEADERS, stream, CALL + more)


def _message(data: bytes, length: int | None = None, flag: int = 0) -> bytes:
    size = len(data) if length is None else length
    return _opened() + frame(DATA, END_STREAM, 1, struct.pack(">BI", flag, size) + data)


def _many(each: Callable[[int], bytes], count: int) -> bytes:
    return b"".join(each(2 * number + 1) for number in range(count))


def _compressed(mib: int) -> bytes:
    """A call whose message unpacks to so much."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(mib)) + packer.flush()
    data = struct.pack(">BI", 1, len(data)) + data
    pieces = [data[at : at + 16_000] for at in range(0, len(data), 16_000)]
    gzip = _opened(1, b"\0" + text(b"grpc-encoding") + text(b"gzip"))
    return gzip + b"".join(frame(DATA, 0, 1, piece) for piece in pieces)


RESET = struct.pack(">I", 8)
# What is sent, and how often.
FLOODS: dict[str, tuple[Callable[[], bytes], int]] = {
    "headers that never end": (
        lambda: frame(HEADERS, 0, 1, CALL) + 20 * frame(CONTINUATION, 0, 1, LONG),
        10,
    ),
    "headers of nothing": (
        lambda: frame(HEADERS, 0, 1, CALL) + 5000 * frame(CONTINUATION, 0, 1),
        4,
    ),
    "calls taken back at once": (
        lambda: _many(lambda stream: _opened(stream) + frame(RST_STREAM, 0, stream, RESET), 2000),
        1,
    ),
    "calls without a message": (
        lambda: _many(lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, CALL), 500),
        1,
    ),
    "pings": (lambda: frame(PING, 0, 0, bytes(8)) * 2000, 10),
    "settings": (
        lambda: frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 65_535)) * 2000,
        10,
    ),
    "windows": (lambda: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 2000, 10),
    "windows too large": (lambda: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 3, 1),
    "data of nothing": (lambda: _opened() + frame(DATA, 0, 1) * 5000, 4),
    "priorities": (lambda: frame(2, 0, 1, b"\0\0\0\1\xff") * 50_000, 1),
    "frames of no kind": (lambda: frame(200, 255, 77, bytes(16_000)) * 50, 4),
    "headers that unpack to much": (lambda: _opened(1, KEPT + AGAIN * 4000), 1),
    "headers that unpack to much, of many calls": (
        lambda: _opened(1, KEPT) + _many(lambda stream: _opened(stream + 2, AGAIN * 4000), 50),
        1,
    ),
    "headers from no table": (lambda: _opened(1, b"\xff" * 9), 1),
    "text that is no text": (
        lambda: _opened(1, b"\0" + text(b"traceparent") + text(b"\xff\xfe\0\1")),
        1,
    ),
    "a method that is no text": (
        lambda: frame(HEADERS, END_HEADERS, 1, CALL.replace(b"Recon", b"\xff\xfe\xfd\xfc\xfb")),
        1,
    ),
    "a long authorization": (
        lambda: _opened(1, b"\0" + text(b"authorization") + text(b"Bearer " + b"a" * 15_000)),
        1,
    ),
    "a message that unpacks to 1 GB": (lambda: _compressed(1000), 1),
    "a message of 4 GB": (lambda: _message(b"abc", 0xFFFFFFFF), 1),
    "a message compressed by nothing": (lambda: _message(b"abc", flag=1), 1),
    "a message longer than it says": (lambda: _message(b"abc", 1), 1),
    "a frame of 16 MB": (lambda: b"\xff\xff\xff\0\0\0\0\0\1" + bytes(100_000), 1),
    "noise": (lambda: random.Random(0).randbytes(1 << 20), 1),
}


@pytest.mark.parametrize("half", [0, 1])
def test_a_flooded_connection_does_not_disturb_others(
    server: EmbeddedServer, photo: bytes, half: int
) -> None:
    before = Rest.of(server)
    request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
    with (
        Load(server, photo) as load,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        for name, (make, times) in list(FLOODS.items())[half::2]:
            with Client(server) as hostile:
                hostile.say(make(), times)
                # While its connection is still there.
                assert ask(Stub(channel), request, 20).events[-1] == "summary", name
    assert load.failed == {}
    heals(server, photo, before)


def test_only_a_flood_of_pings_ends_a_connection(server: EmbeddedServer) -> None:
    """A few do not: its calls would fail with it."""
    ping = frame(PING, 0, 0, bytes(8))
    with Client(server) as client:
        client.half("Reconstruct")
        client.say(ping, 50)
        time.sleep(0.2)
        assert not client.closed()
        client.say(ping, 2000)
        eventually(client.closed, "the server closed the connection")


def test_control_characters_cannot_forge_log_lines(server: EmbeddedServer, photo: bytes) -> None:
    """gRPC would quote the method."""
    with Client(server) as hostile, grpc.insecure_channel(server.address) as channel:
        method = call("x\nforged?").replace(b"?", b"\xff")
        hostile.say(frame(HEADERS, END_HEADERS | END_STREAM, 1, method))
        hostile.ended(1, 10)
        ask(Stub(channel), pb.ReconstructRequest(image=photo))
    assert b"\nforged" not in server.log.read_bytes()


def test_a_client_that_takes_its_answer_byte_by_byte(server: EmbeddedServer, photo: bytes) -> None:
    """It delays no other call; ``send_seconds`` end it."""
    before = Rest.of(server)
    body = pb.ReconstructRequest(image=photo).SerializeToString()
    nothing = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 0))
    with Load(server, photo) as load, Client(server) as slow:
        slow.say(nothing + _message(body))
        for _ in range(6):
            slow.say(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
            load.progress(1)
    assert load.failed == {}
    heals(server, photo, before)
