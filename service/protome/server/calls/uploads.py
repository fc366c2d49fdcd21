"""Limit how many clients send a photo at the same time.

gRPC hands a message over only when it is complete, but does not start to receive it before the
server asks to read; until then HTTP/2 flow control keeps all but one window at the client. So the
number of concurrent reads bounds the memory that uploads take: ``PARALLEL_UPLOADS`` and
``slow_uploads`` photos of Reconstruct calls, and one for each of ``max_streams`` streams, of
``max_image_bytes`` each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from protome.errors import ClientGone, Overloaded

T = TypeVar("T")

PARALLEL_UPLOADS: Final = 2
SLOW_UPLOAD_AFTER_SECONDS: Final = 2.0
# The part of that time that is left when many uploads wait: 4 places then serve 40 a second.
LEAST_SHARE_OF_TIME: Final = 0.05
MAX_WAITING_UPLOADS: Final = 256


class Uploads:
    """Let a few clients send at a time while the others wait.

    An upload that takes longer than ``slow_after`` seconds gives its place to the next and goes on
    as a slow upload. When there is one slow upload too many, the oldest of them ends. The more
    uploads wait, the shorter ``slow_after`` becomes, so that the queue advances even if most
    clients send nothing.

    Args:
        slow_uploads: number of slow uploads at a time.
        receive_seconds: time limit for each message.
        parallel: number of other uploads at a time.
        slow_after: seconds after which an upload is slow, while no others wait.
    """

    def __init__(
        self,
        *,
        slow_uploads: int,
        receive_seconds: float = 60.0,
        parallel: int = PARALLEL_UPLOADS,
        slow_after: float = SLOW_UPLOAD_AFTER_SECONDS,
    ) -> None:
        self._places = asyncio.Semaphore(parallel)
        self._parallel = parallel
        self._slow_uploads = slow_uploads
        self._slow_after = slow_after
        self._receive_seconds = receive_seconds
        self._waiting = 0
        self._slow: deque[asyncio.Future[Any]] = deque()

    async def read(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Wait for a place, then receive one message.

        Raises:
            Overloaded: too many uploads wait, or this one was the oldest of too many slow ones.
            ClientGone: the message did not arrive within ``receive_seconds``.
        """
        if self._waiting >= MAX_WAITING_UPLOADS:
            raise Overloaded(f"{self._waiting} uploads are waiting")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            reading = asyncio.ensure_future(receive())
            share = max(1 / (1 + self._waiting / self._parallel), LEAST_SHARE_OF_TIME)
            await _wait(reading, min(self._slow_after * share, self._receive_seconds))
        finally:
            self._places.release()
        if reading.done():
            return reading.result()
        return await self._read_slowly(reading)

    async def _read_slowly(self, reading: asyncio.Future[T]) -> T:
        self._slow.append(reading)
        if len(self._slow) > self._slow_uploads:
            self._slow.popleft().cancel()
        try:
            await _wait(reading, self._receive_seconds)
        finally:
            with contextlib.suppress(ValueError):
                self._slow.remove(reading)
        if not reading.done():
            reading.cancel()
            raise ClientGone(f"the photo did not arrive within {self._receive_seconds} s")
        if reading.cancelled():
            raise Overloaded("the upload was the slowest of too many slow uploads")
        return reading.result()


async def _wait(reading: asyncio.Future[Any], seconds: float) -> None:
    """Wait for ``reading`` for at most ``seconds``; cancel it if this task is cancelled."""
    try:
        await asyncio.wait({reading}, timeout=seconds)
    except asyncio.CancelledError:
        reading.cancel()
        raise
