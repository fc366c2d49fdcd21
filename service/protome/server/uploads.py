"""How many clients may send at a time.

gRPC takes a message in whole before anyone can look at it, but only once it is asked to read; until
then flow control keeps the client from sending more than a window's worth. So reading is what has
to be rationed to bound the memory that many large uploads take at once.

A stream must be read while nothing is known to come, so that cannot be rationed. What bounds it is
``pressure``: how many bytes too many have come in. The reads that wait the longest end then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, Final, TypeVar

from protome.errors import ClientGone, Overloaded

T = TypeVar("T")

PLACES: Final = 4
PATIENCE: Final = 2.0
# The most that it shrinks to when many wait, of 1: then 4 places move on 40 times a second.
LEAST_PATIENCE: Final = 0.05
MAX_WAITING: Final = 256
SECONDS: Final = 60.0
# How often to look for pressure while anything is slow.
LOOK_SECONDS: Final = 0.05
# Until a call that ended has given back what it held.
GONE_SECONDS: Final = 3.0
# A read that began later is no slow one.
YOUNG_SECONDS: Final = 0.25
# So many messages too many end also those for whom something is being done.
DIRE: Final = 16


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
        pressure: bytes too many that are on their way in, below 0 while there is room.
        largest: bytes of a message at most.
    """

    def __init__(
        self,
        *,
        slow_places: int,
        places: int = PLACES,
        patience: float = PATIENCE,
        seconds: float = SECONDS,
        pressure: Callable[[], int] = lambda: 0,
        largest: int = 1,
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._in_line = places
        self._slow_places = slow_places
        self._patience = patience
        self._seconds = seconds
        self._waiting = 0
        self._reading = 0
        self._slow: deque[asyncio.Future[Any]] = deque()
        self._pressure = pressure
        self._largest = largest
        # Slow ones and those of streams: since when, and what is being done for their clients.
        self._waits: dict[asyncio.Future[Any], tuple[float, Collection[object]]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing can be on its way in."""
        return not self._waits and not self._waiting and self._reading == 0

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
        self._reading += 1
        try:
            reading = asyncio.ensure_future(receive())
            share = max(1 / (1 + self._waiting / self._in_line), LEAST_PATIENCE)
            await _wait(reading, min(self._patience * share, self._seconds))
        finally:
            self._reading -= 1
            self._places.release()
        if reading.done():
            return reading.result()
        return await self._read_slowly(reading)

    async def _read_slowly(self, reading: asyncio.Future[T]) -> T:
        self._slow.append(reading)
        if len(self._slow) > self._slow_places:
            self._slow.popleft().cancel()
        try:
            with self.relieved(reading):
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

    @contextlib.contextmanager
    def relieved(
        self, reading: asyncio.Future[Any], working: Collection[object] = ()
    ) -> Iterator[None]:
        """While the block lasts, ``reading`` may be cancelled under pressure.

        Args:
            reading: it.
            working: what is being done for its client; while there is anything, it is spared.
        """
        self._waits[reading] = time.monotonic(), working
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self._waits.pop(reading, None)

    async def _look(self) -> None:
        """End as many as make up for the pressure if all are as large as may be. What those took up
        is gone a moment later: they count until then."""
        going: deque[float] = deque()
        pressure = 0
        while self._waits:
            now = time.monotonic()
            while going and going[0] < now - GONE_SECONDS:
                going.popleft()
            before, pressure = pressure, self._pressure()
            # While it falls, what was ended is on its way out.
            wanted = 0 if pressure < before else -(-pressure // self._largest) - len(going)
            for _ in range(wanted):
                slowest = self._slowest(now - YOUNG_SECONDS, pressure > DIRE * self._largest)
                if slowest is None:
                    break
                going.append(now)
                del self._waits[slowest]
                slowest.cancel()
            await asyncio.sleep(LOOK_SECONDS)

    def _slowest(self, before: float, dire: bool) -> asyncio.Future[Any] | None:
        """The oldest of those that wait since ``before``: of those for whom nothing is being done,
        unless there are none and it is ``dire``."""
        slow = [(r, working) for r, (since, working) in self._waits.items() if since < before]
        idle = [(r, working) for r, working in slow if not working]
        return next((reading for reading, _ in idle or (slow if dire else [])), None)


async def _wait(reading: asyncio.Future[Any], seconds: float) -> None:
    """Until it is done, but not longer; it ends with its caller."""
    try:
        await asyncio.wait({reading}, timeout=seconds)
    except asyncio.CancelledError:
        reading.cancel()
        raise
