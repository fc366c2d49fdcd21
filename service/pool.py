"""A pool of worker processes: Python's lock never serialises the CPU stages.

Tasks wait in a queue ordered by rank: work that finishes a face goes before work that begins a
photo. A worker that dies or hangs takes only its own task with it and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import io
import logging
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import Internal, Overloaded, ProtomeError, WorkerDied, WorkerHung, rebuild
from .fairqueue import FairQueue, Turn
from .grid import U8
from .mailbox import Mailbox, Parcel
from .worker import LENGTH, TAKEN, Reply, Task

log = logging.getLogger(__name__)

# One core a worker: libraries that start threads of their own would fight over the cores.
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
START_SECONDS: Final = 60.0
# How long the successor of a worker may take to start: one that hangs must not leave its place
# empty for long. Twice as long with each that was too slow, up to the above: so may be the machine.
SUCCESSOR_SECONDS: Final = 10.0
# How often a worker is tried that does not start while the server does.
START_TRIES: Final = 3
MAX_REPLY: Final = 1 << 20
REPLY_MODULES: Final = frozenset(
    f"{__package__}.{name}"
    for name in ("crops", "errors", "faces", "grid", "mailbox", "stages", "worker")
)
# Priorities below this fit between two ranks.
PRIORITIES: Final = 16
# Pause before replacing a worker that died young, so that a broken machine is not kept busy.
YOUNG_SECONDS: Final = 2.0


class NotTakenError(Exception):
    """The worker was dead before it took the task; another can have it."""


class _Unpickler(pickle.Unpickler):
    """Makes nothing but the plain data that a worker answers with."""

    def find_class(self, module: str, name: str) -> Any:
        """A class of the line, or an error."""
        # Pickle takes names with dots for attributes of attributes, which lead anywhere.
        if module in REPLY_MODULES and name.isidentifier():
            found = super().find_class(module, name)
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


class Worker:
    """One worker process, its socket and its mailbox."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        mailbox: Mailbox,
    ) -> None:
        self.process = process
        self.started = time.monotonic()
        self._reader = reader
        self._writer = writer
        self._mailbox = mailbox
        self._stopped = False
        self._alive = True

    @classmethod
    async def start(
        cls, mailbox_bytes: int, memory_bytes: int = 0, seconds: float = START_SECONDS
    ) -> Worker:
        """Start a process and wait until it is ready.

        Args:
            mailbox_bytes: size of its mailbox.
            memory_bytes: most memory of its own it may take; 0: no limit.
            seconds: that it may take to be ready.

        Raises:
            WorkerDied: it ended, or was not ready in time.
        """
        mailbox = Mailbox.create(mailbox_bytes)
        try:
            ours, theirs = socket.socketpair()
        except BaseException:
            mailbox.close()
            raise
        process: asyncio.subprocess.Process | None = None
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", f"{__package__}.worker"),
                    *map(str, (theirs.fileno(), mailbox.fd, mailbox.size, memory_bytes)),
                    pass_fds=(theirs.fileno(), mailbox.fd),
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, **ONE_THREAD},
                    # Ctrl-C is for the server, which then drains its workers.
                    start_new_session=True,
                )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            if process is not None:
                process.kill()
            ours.close()
            mailbox.close()
            raise
        worker = cls(process, reader, writer, mailbox)
        try:
            async with asyncio.timeout(seconds):
                await worker._read()
        except BaseException as error:
            await worker.stop()
            if isinstance(error, asyncio.CancelledError):
                raise
            if isinstance(error, TimeoutError):
                raise WorkerHung(f"a worker process did not start within {seconds} s") from None
            raise WorkerDied(f"a worker process did not start: {error}") from None
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        if not self._alive or self.process.returncode is not None:
            return False
        # Asked of the system: the event loop hears of a death only a moment later.
        try:
            gone = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return gone is None

    async def call(
        self, name: str, job: object, inputs: Sequence[U8 | bytes], seconds: float
    ) -> tuple[Any, list[U8]]:
        """Do a task; ``seconds`` is the longest it may take.

        Returns:
            The task's result and copies of its outputs.

        Raises:
            ProtomeError: the task's own, or :class:`WorkerDied`, or :class:`Internal`.
        """
        used: list[Parcel] = []
        try:
            parcels = self._mailbox.put(inputs)
            used += parcels
            async with asyncio.timeout(seconds):
                await self._hand_over(Task(name, job, parcels))
                reply = await self._read()
            outputs = [self._mailbox.look(parcel).copy() for parcel in reply.outputs]
            used += reply.outputs
        except TimeoutError:
            self.kill()
            raise WorkerHung(f"the task took over {seconds} s", limit_seconds=seconds) from None
        except (OSError, EOFError):
            self.kill()
            raise WorkerDied("the worker process died") from None
        except (ProtomeError, NotTakenError):
            raise
        except Exception:
            # It parses what strangers send: if it talks nonsense, of whatever kind, it is not
            # trusted any more.
            self.kill()
            raise WorkerDied("the worker process sent nonsense") from None
        finally:
            self._mailbox.wipe(used)
        if reply.error is not None:
            raise reply.error
        if reply.fault:
            log.error("a task failed in a worker:\n%s", reply.fault)
            raise Internal("a task failed in a worker")
        return reply.result, outputs

    async def _hand_over(self, task: Task) -> None:
        body = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        try:
            self._writer.write(LENGTH.pack(len(body)) + body)
            if await self._reader.readexactly(len(TAKEN)) != TAKEN:
                raise ValueError("no acknowledgement")
        except (OSError, EOFError):
            self.kill()
            raise NotTakenError from None

    async def _read(self) -> Reply:
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if length > MAX_REPLY:
            raise ValueError(f"a reply of {length} bytes")
        reply = _Unpickler(io.BytesIO(await self._reader.readexactly(length))).load()
        if not isinstance(reply, Reply) or not isinstance(reply.error, ProtomeError | None):
            raise pickle.UnpicklingError(f"{type(reply)} is no reply")
        return reply

    def kill(self) -> None:
        """End the process now."""
        self._alive = False
        if self.process.returncode is None:
            self.process.kill()

    async def stop(self) -> None:
        """End the process and free what it held; more than once is fine."""
        if self._stopped:
            return
        self._stopped = True
        self._writer.close()
        self.kill()
        await self.process.wait()
        self._mailbox.close()


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
        self, name: str, job: object, inputs: Sequence[U8 | bytes], terms: Terms
    ) -> tuple[Any, list[U8]]:
        """Do a task on the next free worker; see :meth:`Worker.call`.

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
            call = asyncio.create_task(worker.call(name, job, inputs, self._task_seconds))
            call.add_done_callback(functools.partial(self._finished, worker, handed, terms))
            with contextlib.suppress(NotTakenError):
                return await asyncio.shield(call)

    def _finished(
        self, worker: Worker, began: float, terms: Terms, call: asyncio.Task[Any]
    ) -> None:
        if not call.cancelled():
            call.exception()  # Seen, also when the caller is gone.
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
