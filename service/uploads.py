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

from .errors import Overloaded

T = TypeVar("T")

PLACES: Final = 4
PATIENCE: Final = 2.0


class Uploads:
    """Lets some clients send at a time, the others wait.

    Who takes longer than ``patience`` goes on beside the line, so that slow clients hold up nobody;
    of those there may be ``slow_places``, and one more ends the one that has been at it longest.

    Args:
        slow_places: slow clients besides.
        places: clients that may send.
        patience: seconds.
    """

    def __init__(
        self, *, slow_places: int, places: int = PLACES, patience: float = PATIENCE
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._slow_places = slow_places
        self._patience = patience
        self._slow: deque[asyncio.Future[Any]] = deque()

    async def read(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Receive a message once there is a place.

        Raises:
            Overloaded: it came too slowly while too many did.
        """
        async with self._places:
            reading = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({reading}, timeout=self._patience)
            except asyncio.CancelledError:
                reading.cancel()
                raise
        if reading.done():
            return reading.result()
        return await self._read_slowly(reading)

    async def _read_slowly(self, reading: asyncio.Future[T]) -> T:
        self._slow.append(reading)
        if len(self._slow) > self._slow_places:
            self._slow.popleft().cancel()
        try:
            await asyncio.wait({reading})
        except asyncio.CancelledError:
            reading.cancel()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._slow.remove(reading)
        if reading.cancelled():
            raise Overloaded("the photo came too slowly while many others were sent")
        return reading.result()
