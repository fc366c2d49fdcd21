"""Exchange messages with a worker over its socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from .protocol import LENGTH

MAX_REPLY: Final = 1 << 20


class Channel(asyncio.Protocol):
    """Splits a worker's bytes into messages.

    Attributes:
        on_message: called with each message, or with the reason why no more will come.
    """

    def __init__(self) -> None:
        self.on_message: Callable[[bytes | Exception], None] = lambda _: None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    async def open(self, ours: socket.socket) -> None:
        """Start to read from a socket, which the channel owns from now on."""
        ours.setblocking(False)
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to send with."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect the bytes of a message."""
        self._buffer += data
        if len(self._buffer) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > MAX_REPLY:
            self.close()
            self.on_message(ValueError(f"a reply of {length} bytes"))
        elif len(self._buffer) >= LENGTH.size + length:
            message = bytes(self._buffer[LENGTH.size :])
            self._buffer.clear()
            self.on_message(message)

    def connection_lost(self, error: Exception | None) -> None:
        """Report that the worker ended or the channel was closed."""
        del error
        self.on_message(EOFError())

    def send(self, body: bytes) -> None:
        """Send a message."""
        assert self._transport is not None
        self._transport.write(LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        """Close the connection at once; unsent bytes are dropped."""
        if self._transport is not None:
            self._transport.abort()
