"""HTTP/2 by hand: what a client does that no library would."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from types import TracebackType
from typing import Final, Self

from protome.embedded import EmbeddedServer

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
WINDOW_UPDATE: Final = 8
ACK: Final = 1
# What may be sent unasked (RFC 9113, 6.9.2) unless the settings say so, and in one frame.
INITIAL_WINDOW: Final = 4
WINDOW: Final = 65_535
FRAME: Final = 16_384
END_STREAM: Final = 1
END_HEADERS: Final = 4
SERVICE: Final = "/protome.v1.ReconstructionService/"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """A frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def field(name: str, value: str) -> bytes:
    """A header, literal and without an index (RFC 7541, 6.2.2)."""
    return b"\0" + text(name.encode()) + text(value.encode())


def text(value: bytes) -> bytes:
    """A string of a header (RFC 7541, 5.2)."""
    if len(value) < 127:
        return bytes((len(value),)) + value
    size, rest = b"\x7f", len(value) - 127
    while rest >= 128:
        size, rest = size + bytes((rest % 128 + 128,)), rest // 128
    return size + bytes((rest,)) + value


def call(method: str) -> bytes:
    """The headers of a call."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": SERVICE + method,
        ":authority": "protome",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(field(name, value) for name, value in headers.items())


class Client:
    """One connection."""

    def __init__(self, server: EmbeddedServer) -> None:
        host, port = server.address.split(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        self._next = 1
        self._read = b""
        # Of each stream, 0 for the connection's.
        self._windows: dict[int, int] = {0: WINDOW}
        self._initial = WINDOW
        self._over: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def closed(self) -> bool:
        """Read what has arrived; return whether the server closed the connection."""
        self._socket.settimeout(0.001)
        try:
            while piece := self._socket.recv(1 << 16):
                self._read += piece
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def say(self, data: bytes, times: int = 1) -> None:
        """Send bytes, legal or not; the server may hang up meanwhile."""
        self._socket.settimeout(10)
        with contextlib.suppress(ConnectionError):
            for _ in range(times):
                self._socket.sendall(data)

    def half(self, method: str, share: int = 1000, size: int = 100_000) -> int:
        """Begin a call with ``share`` bytes of a message of ``size``; its stream."""
        stream, self._next = self._next, self._next + 2
        self._windows[stream] = self._initial - share - 5
        self._windows[0] -= share + 5
        message = b"\0" + struct.pack(">I", size) + bytes(share)
        self._socket.sendall(
            frame(HEADERS, END_HEADERS, stream, call(method)) + frame(DATA, 0, stream, message)
        )
        return stream

    def ended(self, count: int, seconds: float) -> set[int]:
        """The streams that the server ended, once they are so many.

        Raises:
            TimeoutError: they are not within ``seconds``.
        """
        limit = time.monotonic() + seconds
        while len(self._over) < count:
            self._receive(limit)
        over, self._over = self._over, set()
        return over

    def pour(self, stream: int, size: int, seconds: float) -> int:
        """Send zeros as fast as flow control lets them; how many were taken within ``seconds``, or
        until the server ended the stream."""
        limit = time.monotonic() + seconds
        sent = 0
        while sent < size and stream not in self._over:
            room = min(size - sent, FRAME, self._windows[0], self._windows[stream])
            if room > 0:
                self._socket.settimeout(max(0.001, limit - time.monotonic()))
                self._socket.sendall(frame(DATA, 0, stream, bytes(room)))
                self._windows[0] -= room
                self._windows[stream] -= room
                sent += room
                continue
            try:
                self._receive(limit)
            except TimeoutError:
                break
        return sent

    def _receive(self, limit: float) -> None:
        """Look at what comes next."""
        self._socket.settimeout(max(0.001, limit - time.monotonic()))
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self._read += piece
        while len(self._read) >= 9:
            size = int.from_bytes(self._read[:3])
            if len(self._read) < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._read, 3)
            body, self._read = self._read[9 : 9 + size], self._read[9 + size :]
            if kind == PING and not flags & ACK:
                self._socket.sendall(frame(PING, ACK, 0, body))
            elif kind == SETTINGS and not flags & ACK:
                self._socket.sendall(frame(SETTINGS, ACK, 0))
                for at in range(0, size, 6):
                    name, value = struct.unpack_from(">HI", body, at)
                    if name == INITIAL_WINDOW:
                        for each in self._windows.keys() - {0}:
                            self._windows[each] += value - self._initial
                        self._initial = value
            elif kind == WINDOW_UPDATE:
                self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(body)
            elif kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                self._over.add(stream)
