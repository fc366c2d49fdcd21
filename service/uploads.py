"""How many clients may send at a time.

gRPC takes a message in whole before anyone can look at it, but only once it is asked to read; until
then flow control keeps the client from sending more than a window's worth. So reading is what has
to be rationed to bound the memory that many large uploads take at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from .errors import ClientGone, Overloaded

T = TypeVar("T")

PLACES: Final = 4
PATIENCE: Final = 2.0
# The most that it shrinks to when many wait, of 1: then 4 places move on 40 times a second.
LEAST_PATIENCE: Final = 0.05
MAX_WAITING: Final = 256
SECONDS: Final = 60.0


class Uploads:
    """Lets some clients send at a time, the others wait.

    Who takes longer than ``patience`` goes on beside the line, so that slow clients hold up nobody;
    of those there may be ``slow_places``, and one more ends the one that has been at it longest.
    The more wait the less patience there is, so that the line moves on when most of it sends
    nothing at all: the wait grows with the logarithm of their number at first.

    Args:
        slow_places: slow clients besides.
        places: clients that may send.
        patience: seconds.
        seconds: a message must have arrived within; the place is then free again.
    """

    def __init__(
        self,
        *,
        slow_places: int,
        places: int = PLACES,
        patience: float = PATIENCE,
        seconds: float = SECONDS,
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._in_line = places
        self._slow_places = slow_places
        self._patience = patience
        self._seconds = seconds
        self._waiting = 0
        self._slow: deque[asyncio.Future[Any]] = deque()

    async def read(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Receive a message once there is a place.

        Raises:
            Overloaded: too many wait, or it came too slowly while too many did.
            ClientGone: it did not come in time.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{self._waiting} photos wait to be sent")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            reading = asyncio.ensure_future(receive())
            share = max(1 / (1 + self._waiting / self._in_line), LEAST_PATIENCE)
            await _wait(reading, min(self._patience * share, self._seconds))
        finally:
            self._places.release()
        if reading.done():
            return reading.result()
        return await self._read_slowly(reading)

    async def _read_slowly(self, reading: asyncio.Future[T]) -> T:
        self._slow.append(reading)
        if len(self._slow) > self._slow_places:
            self._slow.popleft().cancel()
        try:
            await _wait(reading, self._seconds)
        finally:
            with contextlib.suppress(ValueError):
                self._slow.remove(reading)
        if not reading.done():
            reading.cancel()
            raise ClientGone(f"the photo did not arrive within {self._seconds} s")
        if reading.cancelled():
            raise Overloaded("the photo came too slowly while many others were sent")
        return reading.result()


async def _wait(reading: asyncio.Future[Any], seconds: float) -> None:
    """Until it is done, but not longer; it ends with its caller."""
    try:
        await asyncio.wait({reading}, timeout=seconds)
    except asyncio.CancelledError:
        reading.cancel()
        raise
