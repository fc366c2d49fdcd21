"""A pool of worker processes: Python's lock never serialises the CPU stages.

Tasks wait in a queue ordered by rank: work that finishes a face goes before work that begins a
photo. A worker that dies or hangs takes only its own task with it and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.errors import Overloaded, WorkerDied, WorkerHung
from protome.geometry import U8
from protome.scheduling.fair_queue import FairQueue, Turn

from .handle import START_SECONDS, Answer, NotTakenError, Take, Worker

log = logging.getLogger(__name__)

# How long the successor of a worker may take to start: one that hangs must not leave its place
# empty for long. Twice as long with each that was too slow, up to what the first ones may take.
SUCCESSOR_SECONDS: Final = 10.0
# How often a worker is tried that does not start while the server does.
START_TRIES: Final = 3
# Priorities below this fit between two ranks.
PRIORITIES: Final = 16
# Pause before replacing a worker that died young, so that a broken machine is not kept busy.
YOUNG_SECONDS: Final = 2.0


class Rank(enum.IntEnum):
    """Places in the queue: lower goes first, whatever the priority."""

    FINISH = 0
    BEGIN = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """How a task waits and is accounted for.

    Attributes:
        rank, turn: its place in the queue.
        latest: when it is too late to begin, on ``time.monotonic``.
        on_spent: told the seconds a worker spent on it, also when its caller is gone.
    """

    rank: Rank
    turn: Turn = Turn()  # noqa: RUF009 (frozen)
    latest: float = float("inf")
    on_spent: Callable[[float], None] = lambda _: None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    worker: asyncio.Future[Worker]
    latest: float


class Pool:
    """A fixed number of workers and the tasks that wait for them.

    Args:
        count: workers.
        mailbox_bytes: size of each worker's mailbox.
        task_seconds: longest a task may take.
        memory_bytes: most memory of its own each worker may take; 0: no limit.
        on_restart: called each time a worker had to be replaced.
        on_wait: told the seconds each task waited for a worker.
    """

    def __init__(
        self,
        count: int,
        *,
        mailbox_bytes: int,
        task_seconds: float,
        memory_bytes: int = 0,
        on_restart: Callable[[], None] = lambda: None,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._mailbox_bytes = mailbox_bytes
        self._task_seconds = task_seconds
        self._memory_bytes = memory_bytes
        self._on_restart = on_restart
        self._on_wait = on_wait
        self._idle: list[Worker] = []
        self._waiting: FairQueue[_Waiter] = FairQueue()
        self._ready: list[Worker] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Start all workers; returns when all are ready.

        Raises:
            WorkerDied: one could not be started.
        """
        starts = [asyncio.create_task(self._start_one()) for _ in range(self._count)]
        try:
            workers = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            for started in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(started, Worker):
                    await started.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in workers]
        # A keeper cancelled before its first step would never stop its worker.
        await asyncio.sleep(0)

    async def _start_one(self) -> Worker:
        for left in reversed(range(START_TRIES)):
            try:
                return await Worker.start(self._mailbox_bytes, self._memory_bytes)
            except WorkerDied as error:
                if not left:
                    raise
                self._on_restart()
                log.warning("%s; trying again", error)
            except (OSError, RuntimeError) as error:
                # The machine lacks something, and would a moment later.
                raise WorkerDied(f"cannot start a worker: {error}") from None
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Stop all workers; tasks still waiting are answered with :class:`WorkerDied`."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for waiter in self._waiting:
            if not waiter.worker.done():
                waiter.worker.set_exception(WorkerDied("the pool is closed"))

    @property
    def waiting(self) -> int:
        """Tasks in the queue."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Workers that are there, at work or idle."""
        return sum(worker.alive for worker in tuple(self._ready))

    async def run(
        self,
        name: str,
        job: object,
        inputs: Sequence[U8 | bytes],
        terms: Terms,
        take: Take = np.ndarray.copy,
    ) -> Answer:
        """Do a task on the next free worker; see :meth:`process.Worker.ask`.

        Raises:
            Overloaded: it got too late to begin while the task waited.

        When the caller is cancelled while the task waits, the task is dropped; while it runs, the
        worker finishes it for nobody, since only then its memory is free again.
        """
        began = time.monotonic()
        while True:
            worker = await self._acquire(terms)
            handed = time.monotonic()
            self._on_wait(handed - began)
            with contextlib.suppress(NotTakenError):
                return await worker.ask(
                    name,
                    job,
                    inputs,
                    take=take,
                    seconds=self._task_seconds,
                    on_end=functools.partial(self._finished, worker, handed, terms),
                )

    def _finished(self, worker: Worker, began: float, terms: Terms) -> None:
        terms.on_spent(time.monotonic() - began)
        self._release(worker)

    async def _acquire(self, terms: Terms) -> Worker:
        if self._closing:
            raise WorkerDied("the pool is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        future: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        turn = Turn(terms.turn.stream, PRIORITIES * terms.rank + terms.turn.priority)
        entry = self._waiting.push(_Waiter(future, terms.latest), turn)
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.remove(entry)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._release(future.result())
            raise

    def _release(self, worker: Worker) -> None:
        if not worker.alive or self._closing:
            return
        while self._waiting:
            waiter = self._waiting.pop().item
            if waiter.worker.done():
                continue
            if waiter.latest <= time.monotonic():
                waiter.worker.set_exception(Overloaded("it got too late while it waited"))
                continue
            waiter.worker.set_result(worker)
            return
        self._idle.append(worker)

    async def _keep(self, worker: Worker) -> None:
        """Keep one place of the pool filled until cancelled."""
        try:
            while True:
                self._ready.append(worker)
                self._release(worker)
                code = await worker.process.wait()
                log.warning("worker %d ended with %s; replacing it", worker.process.pid, code)
                self._ready.remove(worker)
                self._idle = [other for other in self._idle if other is not worker]
                await worker.stop()
                self._on_restart()
                age = time.monotonic() - worker.started
                await asyncio.sleep(max(0.0, YOUNG_SECONDS - age))
                worker = await self._replace()
        finally:
            await worker.stop()

    async def _replace(self) -> Worker:
        seconds = SUCCESSOR_SECONDS
        while True:
            try:
                return await Worker.start(self._mailbox_bytes, self._memory_bytes, seconds)
            except WorkerDied as error:
                # There was one, and it had to be replaced like any other.
                self._on_restart()
                log.error("cannot start a worker: %s", error)
                if isinstance(error, WorkerHung):
                    seconds = min(2 * seconds, START_SECONDS)
            except Exception as error:
                # Whatever it is that the machine lacks: giving up would cost the place for good.
                log.error("cannot start a worker: %r", error)
            await asyncio.sleep(YOUNG_SECONDS)
