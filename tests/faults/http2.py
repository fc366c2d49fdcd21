"""HTTP/2 by hand: what a client does that no library would."""

from __future__ import annotations

import socket
import struct
import time
from types import TracebackType
from typing import Final, Self

from protome.embedded import EmbeddedServer

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
END_STREAM: Final = 1
END_HEADERS: Final = 4
SERVICE: Final = "/protome.v1.ReconstructionService/"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """A frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def field(name: str, value: str) -> bytes:
    """A header, literal and without an index (RFC 7541, 6.2.2)."""
    return b"\0" + b"".join(bytes((len(text),)) + text.encode() for text in (name, value))


class Client:
    """One connection."""

    def __init__(self, server: EmbeddedServer) -> None:
        host, port = server.address.split(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        self._next = 1
        self._read = b""

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
        """Whether the server hung up; reads what came."""
        self._socket.settimeout(0.001)
        try:
            while piece := self._socket.recv(1 << 16):
                self._read += piece
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def half(self, method: str, share: int = 1000, size: int = 100_000) -> int:
        """Begin a call with ``share`` bytes of a message of ``size``; its stream."""
        stream, self._next = self._next, self._next + 2
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": SERVICE + method,
            ":authority": "protome",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(field(name, value) for name, value in headers.items())
        message = b"\0" + struct.pack(">I", size) + bytes(share)
        self._socket.sendall(
            frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, message)
        )
        return stream

    def ended(self, count: int, seconds: float) -> set[int]:
        """The streams that the server ended, once they are so many.

        Raises:
            TimeoutError: they are not within ``seconds``.
        """
        limit = time.monotonic() + seconds
        over: set[int] = set()
        while len(over) < count:
            self._socket.settimeout(max(0.001, limit - time.monotonic()))
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("the server hung up")
            self._read += piece
            while len(self._read) >= 9:
                size = int.from_bytes(self._read[:3])
                if len(self._read) < 9 + size:
                    break
                kind, flags, stream = struct.unpack_from(">BBI", self._read, 3)
                self._read = self._read[9 + size :]
                if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    over.add(stream)
        return over
