"""The server's side of one worker process: send it one task at a time, receive the reply.

A task costs the event loop one write and one read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protome.config import MIB
from protome.errors import Internal, WorkerDied, WorkerHung
from protome.geometry import U8

from .channel import Channel
from .mailbox import Mailbox
from .protocol import READY, Reply, Task, decode_reply

log = logging.getLogger(__name__)

# Each worker uses one core; threads started by libraries would compete for the cores. The C library
# keeps freed memory (mallopt(3)): memory that was given back to the system costs a page fault for
# every 4 KiB when it is allocated again. system.trim_memory() gives it back.
WORKER_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(256 * MIB),
}
START_SECONDS: Final = 60.0

# The result of a task, and its outputs as returned by ``Take``.
Answer = tuple[Any, list[Any]]
# Receives an output in the mailbox and must copy it, because the memory is reused.
Take = Callable[[U8], Any]


class NotTakenError(Exception):
    """The worker died before it took the task; another worker can run it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pending:
    """The task in progress; ``answer`` is done before its reply if the caller was cancelled."""

    name: str
    answer: asyncio.Future[Answer]
    take: Take
    timer: asyncio.TimerHandle
    seconds: float
    on_end: Callable[[], None]


class WorkerHandle:
    """A worker process, its socket and its mailbox.

    Args:
        process: the process.
        channel: its socket, open or to be opened.
        mailbox: memory shared with it; closed by :meth:`stop`.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, channel: Channel, mailbox: Mailbox
    ) -> None:
        self.process = process
        self.started = time.monotonic()
        self._channel = channel
        self._mailbox = mailbox
        self._number = 0
        self._pending: _Pending | None = None
        self._stopped = False
        self._alive = True
        channel.on_message = self._on_message

    @classmethod
    async def start(
        cls, head: Path, mailbox_bytes: int, memory_bytes: int = 0, seconds: float = START_SECONDS
    ) -> WorkerHandle:
        """Start a process and wait until it is ready.

        Args:
            head: path of the model's ``head.npz``.
            mailbox_bytes: size of its mailbox.
            memory_bytes: most private memory of the process; 0: no limit.
            seconds: timeout.

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
                    *map(str, (theirs.fileno(), mailbox.fd, mailbox.size, memory_bytes, head)),
                    pass_fds=(theirs.fileno(), mailbox.fd),
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, **WORKER_ENVIRONMENT},
                    # Ctrl-C must reach only the server, which then drains its workers.
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            mailbox.close()
            raise
        channel = Channel()
        worker = cls(process, channel, mailbox)
        ready = worker._expect(READY, seconds, np.ndarray.copy, lambda: None)
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
        # Ask the system, because the event loop learns of a death a moment later.
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
        """Send a task to the worker, which must be idle.

        Args:
            name: stage to run, ``prepare`` or ``build``.
            job: its argument.
            inputs: its input arrays.
            take: see :data:`Take`.
            seconds: the longest it may take; then the worker is killed.
            on_end: called when the worker is idle again or dead.

        Returns:
            A future of the answer. It fails with the task's own :class:`ProtomeError`, with
            :class:`WorkerDied`, :class:`Internal`, or :class:`NotTakenError`. If it is cancelled
            the worker still finishes, because only then its mailbox is free.
        """
        self._number += 1
        answer = self._expect(name, seconds, take, on_end)
        try:
            task = Task(self._number, name, job, self._mailbox.put(inputs))
        except Internal as error:
            self._end(error)
        else:
            self._channel.send(task.encode())
        return answer

    def _expect(
        self, name: str, seconds: float, take: Take, on_end: Callable[[], None]
    ) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        timer = loop.call_later(seconds, self._hung)
        self._pending = _Pending(name, answer, take, timer, seconds, on_end)
        return answer

    def _hung(self) -> None:
        assert self._pending is not None
        seconds = self._pending.seconds
        self.kill()
        self._end(WorkerHung(f"the task took over {seconds} s", limit_seconds=seconds))

    def _on_message(self, message: bytes | Exception) -> None:
        """Handle a reply, or the reason why none will come."""
        if self._pending is None:
            # A reply without a task.
            self.kill()
            return
        if isinstance(message, EOFError):
            self.kill()
            taken = self._mailbox.taken == self._number
            self._end(WorkerDied("the worker process died") if taken else NotTakenError())
            return
        try:
            if isinstance(message, Exception):
                raise message
            self._end(self._read(decode_reply(self._pending.name, message)))
        except Exception:
            # It parses untrusted pictures: after an invalid reply it may be compromised.
            self.kill()
            self._end(WorkerDied("the worker process sent an invalid reply"))

    def _read(self, reply: Reply[Any]) -> Answer | Exception:
        """Return the answer or the error of a reply; wipe its outputs in the mailbox."""
        assert self._pending is not None
        outputs = []
        if not self._pending.answer.done():
            outputs = [self._pending.take(self._mailbox.look(parcel)) for parcel in reply.outputs]
        self._mailbox.wipe(reply.outputs)
        self._mailbox.taken = 0
        if reply.error is not None:
            return reply.error.error()
        if reply.fault:
            log.error("a task failed in a worker:\n%s", reply.fault)
            return Internal("a task failed in a worker")
        return reply.result, outputs

    def _end(self, answer: Answer | Exception) -> None:
        """Resolve the task in progress, if any."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        pending.timer.cancel()
        pending.on_end()
        if pending.answer.done():
            return
        if isinstance(answer, Exception):
            pending.answer.set_exception(answer)
        else:
            pending.answer.set_result(answer)

    def kill(self) -> None:
        """End the process now."""
        if self.alive:
            # Process.kill() would reap the child, and asyncio would lose its exit status.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        self._alive = False

    async def stop(self) -> None:
        """Kill the process and free its mailbox and socket; repeated calls have no effect."""
        if self._stopped:
            return
        self._stopped = True
        self.kill()
        self._channel.close()
        self._end(WorkerDied("the worker process was stopped"))
        await self.process.wait()
        self._mailbox.close()
