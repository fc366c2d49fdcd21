"""One worker process as the server sees it: asked for one task at a time, answered by a callback.

Nothing here waits: a task costs the event loop one write and one read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import importlib
import io
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from .errors import Internal, ProtomeError, WorkerDied, WorkerHung, rebuild
from .grid import U8
from .mailbox import Mailbox
from .worker import LENGTH, Reply, Task

log = logging.getLogger(__name__)

# One core a worker: libraries that start threads of their own would fight over the cores.
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
START_SECONDS: Final = 60.0
MAX_REPLY: Final = 1 << 20
REPLY_MODULES: Final = frozenset(
    f"{__package__}.{name}"
    for name in ("crops", "errors", "faces", "grid", "mailbox", "stages", "worker")
)

# A task's result, and what ``Take`` made of its outputs.
Answer = tuple[Any, list[Any]]
# Gets an output as it lies in the mailbox, and has to copy it: the memory is used again.
Take = Callable[[U8], Any]


class NotTakenError(Exception):
    """The worker was dead before it took the task; another can have it."""


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


class _Channel(asyncio.Protocol):
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


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The task a worker is at; ``answer`` is done early when nobody waits for it any more."""

    answer: asyncio.Future[Answer]
    take: Take
    timer: asyncio.TimerHandle
    seconds: float
    on_end: Callable[[], None]


class Worker:
    """One worker process, its socket and its mailbox."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: _Channel, mailbox: Mailbox
    ) -> None:
        self.process = process
        self.started = time.monotonic()
        self._channel = channel
        self._mailbox = mailbox
        self._number = 0
        self._asked: _Asked | None = None
        self._stopped = False
        self._alive = True
        channel.heard = self._heard

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
            WorkerHung: it was not ready in time.
            WorkerDied: it ended.
        """
        mailbox = Mailbox.create(mailbox_bytes)
        try:
            ours, theirs = socket.socketpair()
        except BaseException:
            mailbox.close()
            raise
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
        except BaseException:
            ours.close()
            mailbox.close()
            raise
        channel = _Channel()
        worker = cls(process, channel, mailbox)
        ready = worker._expect(seconds, np.ndarray.copy, lambda: None)
        try:
            await channel.open(ours)
            await ready
        except BaseException as error:
            await worker.stop()
            if isinstance(error, asyncio.CancelledError):
                raise
            if isinstance(error, WorkerHung):
                raise WorkerHung(f"a worker process did not start within {seconds} s") from None
            raise WorkerDied(f"a worker process did not start: {error!r}") from None
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

    def ask(
        self,
        name: str,
        job: object,
        inputs: Sequence[U8 | bytes],
        *,
        take: Take,
        seconds: float,
        on_end: Callable[[], None],
    ) -> asyncio.Future[Answer]:
        """Hand a task over; the worker must be free.

        Args:
            name, job, inputs: the task.
            take: see :data:`Take`.
            seconds: the longest it may take.
            on_end: told when the worker is free again, or gone.

        Returns:
            The answer to come. It fails with the task's own :class:`ProtomeError`, with
            :class:`WorkerDied`, :class:`Internal`, or :class:`NotTakenError`. When it is cancelled
            the worker still finishes, since only then its memory is free.
        """
        self._number += 1
        answer = self._expect(seconds, take, on_end)
        try:
            task = Task(self._number, name, job, self._mailbox.put(inputs))
        except Internal as error:
            self._end(error)
        else:
            self._channel.say(pickle.dumps(task, pickle.HIGHEST_PROTOCOL))
        return answer

    def _expect(
        self, seconds: float, take: Take, on_end: Callable[[], None]
    ) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        timer = loop.call_later(seconds, self._hung)
        self._asked = _Asked(answer, take, timer, seconds, on_end)
        return answer

    def _hung(self) -> None:
        assert self._asked is not None
        seconds = self._asked.seconds
        self.kill()
        self._end(WorkerHung(f"the task took over {seconds} s", limit_seconds=seconds))

    def _heard(self, said: bytes | Exception) -> None:
        """The worker answered, or never will."""
        if self._asked is None:
            # Out of turn.
            self.kill()
            return
        if isinstance(said, EOFError):
            self.kill()
            taken = self._mailbox.taken == self._number
            self._end(WorkerDied("the worker process died") if taken else NotTakenError())
            return
        try:
            if isinstance(said, Exception):
                raise said
            reply = _Unpickler(io.BytesIO(said)).load()
            if not isinstance(reply, Reply) or not isinstance(reply.error, ProtomeError | None):
                raise pickle.UnpicklingError(f"{type(reply)} is no reply")
            self._end(self._read(reply))
        except Exception:
            # It parses what strangers send: if it talks nonsense it is not trusted any more.
            self.kill()
            self._end(WorkerDied("the worker process sent nonsense"))

    def _read(self, reply: Reply) -> Answer | Exception:
        """What is answered, or the error that is raised instead; the outputs are wiped."""
        assert self._asked is not None
        outputs = []
        if not self._asked.answer.done():
            outputs = [self._asked.take(self._mailbox.look(parcel)) for parcel in reply.outputs]
        self._mailbox.wipe(reply.outputs)
        self._mailbox.taken = 0
        if reply.error is not None:
            return reply.error
        if reply.fault:
            log.error("a task failed in a worker:\n%s", reply.fault)
            return Internal("a task failed in a worker")
        return reply.result, outputs

    def _end(self, answer: Answer | Exception) -> None:
        """The worker is at nothing any more."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        asked.timer.cancel()
        asked.on_end()
        if asked.answer.done():
            return
        if isinstance(answer, Exception):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)

    def kill(self) -> None:
        """End the process now."""
        self._alive = False
        if self.process.returncode is None:
            # Its own kill would also take leave of it, and asyncio not hear how it ended.
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.kill(self.process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End the process and free what it held; more than once is fine."""
        if self._stopped:
            return
        self._stopped = True
        self.kill()
        self._channel.close()
        self._end(WorkerDied("the worker process was stopped"))
        await self.process.wait()
        self._mailbox.close()
