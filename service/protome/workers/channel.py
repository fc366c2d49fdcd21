"""Cut what a worker sends into messages, and send it messages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from .protocol import LENGTH

MAX_REPLY: Final = 1 << 20


class Channel(asyncio.Protocol):
    """Cuts what a worker says into messages; ``heard`` is told each, or why none will come."""

    def __init__(self) -> None:
        self.heard: Callable[[bytes | Exception], None] = lambda _: None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    async def open(self, ours: socket.socket) -> None:
        """Begin to listen; the socket is the channel's from now on."""
        ours.setblocking(False)
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """A message, or a part of one."""
        self._buffer += data
        if len(self._buffer) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > MAX_REPLY:
            self.close()
            self.heard(ValueError(f"a reply of {length} bytes"))
        elif len(self._buffer) >= LENGTH.size + length:
            message = bytes(self._buffer[LENGTH.size :])
            self._buffer.clear()
            self.heard(message)

    def connection_lost(self, error: Exception | None) -> None:
        """The worker ended, or was hung up on."""
        del error
        self.heard(EOFError())

    def say(self, body: bytes) -> None:
        """Send a message."""
        assert self._transport is not None
        self._transport.write(LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        """Hang up; what was not sent is not."""
        if self._transport is not None:
            self._transport.abort()
