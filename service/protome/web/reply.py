"""Write one HTTP response through ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import Receive, Scope, Send

from protome.errors import ProtomeError

from .problems import problem

# Time to read the rest of a refused upload: closed at once, the connection would lose the response.
LINGER_SECONDS: Final = 10.0


class Reply:
    """The response to one request.

    Args:
        scope, receive, send: of ASGI.
        headers: sent with every response.

    Attributes:
        started: whether status and headers are sent.
        abort: cuts the connection.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, headers: Sequence[tuple[str, str]]
    ) -> None:
        self.started = False
        self._receive = receive
        self._send = send
        self._headers = headers
        self._awaits_continue = (b"expect", b"100-continue") in scope["headers"]
        self._unread = True
        self.abort: Callable[[], None] = scope["state"]["abort"]

    async def read(self) -> tuple[bytes, bool]:
        """Read a part of the body; return it and whether there is more.

        Raises:
            ConnectionResetError: the client has left.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has left")
        self._awaits_continue = False
        self._unread = message.get("more_body", False)
        return message.get("body", b""), self._unread

    async def start(self, code: int, headers: Sequence[tuple[str, str]]) -> None:
        """Send status and headers."""
        self.started = True
        pairs = [*headers, *self._headers]
        if self._unread:
            pairs.append(("connection", "close"))
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in pairs]
        await self._send({"type": "http.response.start", "status": code, "headers": encoded})

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: ProtomeError) -> None:
        """Answer with an error, or cut the connection if the response has begun."""
        if self.started:
            self.abort()
            return
        await self.refuse(*problem(error))

    async def refuse(self, code: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer without a mesh; the rest of the request is read first if it is on its way."""
        await self.start(code, [*headers, ("content-length", str(len(body)))])
        await self.write(body)
        await self._linger()
        await self.end()

    async def wait_until_gone(self) -> None:
        """Return when the client closes the connection, or the response is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _linger(self) -> None:
        """Discard what is left of the body, unless the client has not begun to send it."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._unread and not self._awaits_continue:
                    await self.read()
        except (TimeoutError, ConnectionResetError):
            self.abort()
