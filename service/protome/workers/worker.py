"""The program of a worker process: read a task from the socket, run it, reply, repeat.

Arrays are passed in the mailbox, which also holds the number of the task in progress. The pool
starts the program as ``python -m protome.workers.worker SOCKET_FD MAILBOX_FD MAILBOX_SIZE
MEMORY_LIMIT HEAD``; the last argument is the path of the model's ``head.npz``. It exits when the
socket is closed, or after a task that ran out of memory, because libraries may not recover from
that.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec

from protome import system
from protome.errors import ProtomeError, WorkerMemory
from protome.image.prepare import prepare, warm_up
from protome.mesh.build import build
from protome.mesh.shape.head import load_head

from .mailbox import Mailbox
from .protocol import LENGTH, Reply, Task, TaskError, decode_job, decode_task

PR_SET_PDEATHSIG: Final = 1
# Seconds without a task after which freed memory is returned to the system.
IDLE_SECONDS: Final = 3.0
OUT_OF_MEMORY: Final = TaskError.of(
    WorkerMemory("the task needs more memory than a worker may take")
)
Tasks = Mapping[str, Callable[..., Any]]


def main(argv: Sequence[str]) -> None:
    """Run tasks until the pool closes the socket."""
    _die_with_parent()
    # One core a worker: the pool runs as many workers as there are cores.
    cv2.setNumThreads(1)
    channel = socket.socket(fileno=int(argv[0]))
    mailbox = Mailbox(int(argv[1]), int(argv[2]))
    if limit := int(argv[3]):
        # Private memory of any kind; shared memory does not count.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with channel:
        head = load_head(Path(argv[4]))
        tasks: Tasks = {"prepare": prepare, "build": functools.partial(build, head)}
        warm_up()
        _send(channel, Reply())
        while (task := _next(channel)) is not None:
            mailbox.taken = task.number
            reply = _do(task, tasks, mailbox)
            _send(channel, reply)
            if reply.error == OUT_OF_MEMORY:
                break


def _die_with_parent() -> None:
    """Have the kernel kill this process when the server ends, even in a task or stopped (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _do(task: Task[msgspec.Raw], tasks: Tasks, mailbox: Mailbox) -> Reply[Any]:
    try:
        inputs = [mailbox.look(parcel) for parcel in task.inputs]
        result, outputs = tasks[task.name](decode_job(task), inputs)
        start = max((parcel.end for parcel in task.inputs), default=0)
        return Reply(result, tuple(mailbox.put(outputs, start)))
    except ProtomeError as error:
        return Reply(error=TaskError.of(error))
    except MemoryError:
        return Reply(error=OUT_OF_MEMORY)
    except Exception:
        return Reply.of_fault(traceback.format_exc())
    finally:
        # Here, while they are still in the core's cache.
        mailbox.wipe(task.inputs)


def _send(channel: socket.socket, reply: Reply[Any]) -> None:
    body = reply.encode()
    channel.sendall(LENGTH.pack(len(body)) + body)


def _next(channel: socket.socket) -> Task[msgspec.Raw] | None:
    """Wait for the next task; return freed memory to the system if it does not come soon."""
    ready, _, _ = select.select([channel], [], [], IDLE_SECONDS)
    if not ready:
        system.trim_memory()
    return _receive(channel)


def _receive(channel: socket.socket) -> Task[msgspec.Raw] | None:
    head = _exactly(channel, LENGTH.size)
    if head is None:
        return None
    body = _exactly(channel, LENGTH.unpack(head)[0])
    if body is None:
        return None
    return decode_task(body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        piece = channel.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])
