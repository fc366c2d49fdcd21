"""One worker process as the server sees it: asked for one task at a time, answered by a callback.

Nothing here waits: a task costs the event loop one write and one read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protome.errors import Internal, WorkerDied, WorkerHung
from protome.geometry import U8

from .channel import Channel
from .mailbox import Mailbox
from .protocol import Reply, Task, reply_of

log = logging.getLogger(__name__)

# One core a worker: libraries that start threads of their own would fight over the cores.
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
START_SECONDS: Final = 60.0

# A task's result, and what ``Take`` made of its outputs.
Answer = tuple[Any, list[Any]]
# Gets an output as it lies in the mailbox, and has to copy it: the memory is used again.
Take = Callable[[U8], Any]


class NotTakenError(Exception):
    """The worker was dead before it took the task; another can have it."""


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
        self, process: asyncio.subprocess.Process, channel: Channel, mailbox: Mailbox
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
        channel = Channel()
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
            self._end(self._read(reply_of(said)))
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
        if self.alive:
            # Its own kill would also take leave of it, and asyncio not hear how it ended.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        self._alive = False

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
