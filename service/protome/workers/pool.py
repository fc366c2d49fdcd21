"""Run tasks in a pool of worker processes.

The CPU stages run in processes of their own because Python's global lock would serialise them in
threads. Tasks wait in a queue ordered by rank: work that finishes a face goes before work that
begins a photo. A worker that dies or hangs fails only its own task and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from protome.errors import Overloaded, WorkerDied, WorkerHung
from protome.geometry import U8
from protome.scheduling.fair_queue import FIRST_COME, NEVER, FairQueue, Turn

from .handle import START_SECONDS, Answer, NotTakenError, Take, WorkerHandle

log = logging.getLogger(__name__)

# Seconds that the replacement of a worker may take to start. Doubled after each one that was too
# slow, up to START_SECONDS: a replacement that hangs must not leave its place empty for long.
REPLACEMENT_SECONDS: Final = 10.0
# Attempts to start each worker when the server starts.
START_TRIES: Final = 3
# Shortest time between the starts of two workers in one place: on a broken machine workers that die
# at once would otherwise be restarted all the time.
RESTART_INTERVAL_SECONDS: Final = 2.0


class Rank(enum.IntEnum):
    """Ranks of tasks in the queue; lower goes first, whatever the priority."""

    FINISH = 0
    BEGIN = 1


class Pool:
    """A fixed number of workers and the tasks that wait for them.

    Args:
        count: workers.
        head: path of the model's ``head.npz``.
        mailbox_bytes: size of each worker's mailbox.
        task_seconds: longest time a task may take.
        memory_bytes: most private memory of each worker; 0: no limit.
        on_restart: called each time a worker had to be replaced.
        on_wait: called with the seconds that each task waited for a worker.
        restart_interval: shortest time between the starts of two workers in one place, seconds.
        replacement_seconds: time that the replacement of a worker may take to start at first.
    """

    def __init__(
        self,
        count: int,
        head: Path,
        *,
        mailbox_bytes: int,
        task_seconds: float,
        memory_bytes: int = 0,
        on_restart: Callable[[], None] = lambda: None,
        on_wait: Callable[[float], None] = lambda _: None,
        restart_interval: float = RESTART_INTERVAL_SECONDS,
        replacement_seconds: float = REPLACEMENT_SECONDS,
    ) -> None:
        self._count = count
        self._head = head
        self._mailbox_bytes = mailbox_bytes
        self._task_seconds = task_seconds
        self._memory_bytes = memory_bytes
        self._on_restart = on_restart
        self._on_wait = on_wait
        self._restart_interval = restart_interval
        self._replacement_seconds = replacement_seconds
        self._idle: list[WorkerHandle] = []
        self._waiting: FairQueue[asyncio.Future[WorkerHandle]] = FairQueue()
        self._ready: list[WorkerHandle] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Start all workers; return when all are ready.

        Raises:
            WorkerDied: a worker could not be started.
        """
        starts = [asyncio.create_task(self._start_one()) for _ in range(self._count)]
        try:
            workers = await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            for started in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(started, WorkerHandle):
                    await started.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in workers]
        # A keeper cancelled before its first step would never stop its worker.
        await asyncio.sleep(0)

    async def _start_one(self) -> WorkerHandle:
        for left in reversed(range(START_TRIES)):
            try:
                return await WorkerHandle.start(self._head, self._mailbox_bytes, self._memory_bytes)
            except WorkerDied as error:
                if not left:
                    raise
                self._on_restart()
                log.warning("%s; trying again", error)
            except (OSError, RuntimeError) as error:
                # The machine lacks a resource; another try would fail too.
                raise WorkerDied(f"cannot start a worker: {error}") from None
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Stop all workers; tasks that still wait fail with :class:`WorkerDied`."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for waiter in self._waiting:
            if not waiter.item.done():
                waiter.item.set_exception(WorkerDied("the pool is closed"))

    @property
    def waiting(self) -> int:
        """Number of tasks in the queue."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Number of workers that run, busy or idle."""
        return sum(worker.alive for worker in tuple(self._ready))

    async def run(
        self,
        name: str,
        job: object,
        inputs: Sequence[U8 | bytes],
        turn: Turn = FIRST_COME,
        *,
        latest_start: float = NEVER,
        on_spent: Callable[[float], None] = lambda _: None,
        take: Take = np.ndarray.copy,
    ) -> Answer:
        """Run a task on the next free worker.

        If the caller is cancelled while the task waits, the task is dropped. If it is cancelled
        while the task runs, the worker still finishes: only then its mailbox is free again.

        Args:
            name: see :meth:`WorkerHandle.ask`.
            job: likewise.
            inputs: likewise.
            take: likewise.
            turn: its place in the queue; see :class:`Rank`.
            latest_start: when it is too late to begin, on ``time.monotonic``.
            on_spent: called with the seconds that a worker spent, even if the caller has left.

        Returns:
            The result and the outputs.

        Raises:
            Overloaded: it got too late to begin while the task waited.
            ProtomeError: see :meth:`WorkerHandle.ask`.
        """
        began = time.monotonic()
        while True:
            worker = await self._acquire(turn, latest_start)
            handed = time.monotonic()
            self._on_wait(handed - began)
            with contextlib.suppress(NotTakenError):
                return await worker.ask(
                    name,
                    job,
                    inputs,
                    take=take,
                    seconds=self._task_seconds,
                    on_end=functools.partial(self._finished, worker, handed, on_spent),
                )

    def _finished(
        self, worker: WorkerHandle, began: float, on_spent: Callable[[float], None]
    ) -> None:
        on_spent(time.monotonic() - began)
        self._release(worker)

    async def _acquire(self, turn: Turn, latest_start: float) -> WorkerHandle:
        if self._closing:
            raise WorkerDied("the pool is closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        future: asyncio.Future[WorkerHandle] = asyncio.get_running_loop().create_future()
        entry = self._waiting.push(future, turn, latest_start=latest_start)
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.remove(entry)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._release(future.result())
            raise

    def _release(self, worker: WorkerHandle) -> None:
        if not worker.alive or self._closing:
            return
        for late in self._waiting.expire(time.monotonic()):
            if not late.item.done():
                late.item.set_exception(Overloaded("it became too late while the task waited"))
        while self._waiting:
            future = self._waiting.pop().item
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    async def _keep(self, worker: WorkerHandle) -> None:
        """Replace one worker of the pool each time it ends, until cancelled."""
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
                await asyncio.sleep(max(0.0, self._restart_interval - age))
                worker = await self._replace()
        finally:
            await worker.stop()

    async def _replace(self) -> WorkerHandle:
        seconds = self._replacement_seconds
        while True:
            try:
                return await WorkerHandle.start(
                    self._head, self._mailbox_bytes, self._memory_bytes, seconds
                )
            except WorkerDied as error:
                # A process was started, so this is a restart like any other.
                self._on_restart()
                log.error("cannot start a worker: %s", error)
                if isinstance(error, WorkerHung):
                    seconds = min(2 * seconds, START_SECONDS)
            except Exception as error:
                # The machine lacks a resource; giving up would lose this worker for good.
                log.error("cannot start a worker: %r", error)
            await asyncio.sleep(self._restart_interval)
