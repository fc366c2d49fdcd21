"""What a worker says, as the server hears it: cut into messages, and trusted no further than plain
data go. It parses what strangers send, and may be in their hands.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import importlib
import io
import pickle
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from protome.errors import ProtomeError, rebuild

from .worker import LENGTH, Reply

MAX_REPLY: Final = 1 << 20
REPLY_MODULES: Final = frozenset(
    f"protome.{name}"
    for name in (
        "errors",
        "geometry",
        "image.crop",
        "image.faces",
        "workers.mailbox",
        "workers.stages",
        "workers.worker",
    )
)


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


def reply_of(message: bytes) -> Reply:
    """The reply that a message is.

    Raises:
        Exception: it is none; of any type, as pickle has it.
    """
    reply = _Unpickler(io.BytesIO(message)).load()
    if not isinstance(reply, Reply) or not isinstance(reply.error, ProtomeError | None):
        raise pickle.UnpicklingError(f"{type(reply)} is no reply")
    return reply


class _Unpickler(pickle.Unpickler):
    """Makes nothing but the plain data that a worker answers with."""

    def find_class(self, module: str, name: str) -> Any:
        """A class of the line, or an error."""
        return _class(module, name)


@functools.cache
def _class(module: str, name: str) -> Any:
    # Pickle takes names with dots for attributes of attributes, which lead anywhere.
    if module in REPLY_MODULES and name.isidentifier():
        found = getattr(importlib.import_module(module), name, None)
        if found is rebuild or _is_plain(found, module):
            return found
    raise pickle.UnpicklingError(f"{module}.{name} is no part of a reply")


def _is_plain(found: object, module: str) -> bool:
    """Whether it is a class that holds data and does nothing."""
    return (
        isinstance(found, type)
        and found.__module__ == module
        and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum | ProtomeError))
    )
