"""A worker process: takes one task at a time from its socket, does it, answers.

Arrays travel through the mailbox, which also says which task the worker is at. The pool starts it
as ``python -m protome.workers.worker SOCKET_FD MAILBOX_FD MAILBOX_SIZE MEMORY_LIMIT``; it ends when
the socket does, or after a task its memory was not enough for, which libraries may not have borne.
"""

from __future__ import annotations

import contextlib
import ctypes
import pickle
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import cv2

from protome import system
from protome.errors import ProtomeError, WorkerMemory
from protome.image.prepare import prepare, warm_up
from protome.mesh.build import build

from .mailbox import Mailbox
from .protocol import LENGTH, Reply, Task

PR_SET_PDEATHSIG: Final = 1
# A pause in which what large photos took is worth giving back.
IDLE_SECONDS: Final = 3.0
TASKS: Final[dict[str, Callable[..., Any]]] = {"prepare": prepare, "build": build}


def main(argv: Sequence[str]) -> None:
    """Serve tasks until the pool closes the socket."""
    _die_with_parent()
    system.keep_freed_memory()
    # One core a worker: the pool runs as many workers as there are cores.
    cv2.setNumThreads(1)
    channel = socket.socket(fileno=int(argv[0]))
    mailbox = Mailbox(int(argv[1]), int(argv[2]))
    if limit := int(argv[3]):
        # Its own memory, whatever it is taken for; shared memory does not count.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with channel:
        warm_up()
        _send(channel, Reply())  # Ready.
        while (task := _next(channel)) is not None:
            mailbox.taken = task.number
            reply = _do(task, mailbox)
            _send(channel, reply)
            if isinstance(reply.error, WorkerMemory):
                break


def _die_with_parent() -> None:
    """However the server ends, also while a task runs or this process is stopped (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _do(task: Task, mailbox: Mailbox) -> Reply:
    try:
        inputs = [mailbox.look(parcel) for parcel in task.inputs]
        result, outputs = TASKS[task.name](task.job, inputs)
        start = max((parcel.end for parcel in task.inputs), default=0)
        return Reply(result, mailbox.put(outputs, start))
    except ProtomeError as error:
        return Reply(error=error)
    except MemoryError:
        return Reply(error=WorkerMemory("the task needs more memory than a worker may take"))
    except Exception:
        return Reply(fault=traceback.format_exc())
    finally:
        # Here, where they are still in the core's cache.
        mailbox.wipe(task.inputs)


def _send(channel: socket.socket, reply: Reply) -> None:
    body = pickle.dumps(reply, pickle.HIGHEST_PROTOCOL)
    channel.sendall(LENGTH.pack(len(body)) + body)


def _next(channel: socket.socket) -> Task | None:
    """The next task; what the last ones left free is given back if it does not come at once."""
    ready, _, _ = select.select([channel], [], [], IDLE_SECONDS)
    if not ready:
        system.trim_memory()
    return _receive(channel)


def _receive(channel: socket.socket) -> Task | None:
    head = _exactly(channel, LENGTH.size)
    if head is None:
        return None
    body = _exactly(channel, LENGTH.unpack(head)[0])
    if body is None:
        return None
    task: Task = pickle.loads(body)
    return task


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
