"""Ask the operating system for what the process needs: descriptors, threads and memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import threading
from typing import Any, Final

# For all that is not a client's connection: workers, the HTTP listener, files.
RESERVED: Final = 256
# What the server needs of that in any case, for itself and for each worker and its successor.
LEAST: Final = 64
LEAST_WORKER: Final = 4


def room_for(connections: int, workers: int) -> int:
    """Raise this process's limit so far, if it may be raised.

    Returns:
        ``connections``, or as many as may be open beside ``workers`` workers: none or less where
        not even those may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return connections
    least = LEAST + LEAST_WORKER * workers
    return min(connections, max(soft - max(RESERVED, least), (soft - least) // 2))


def threads_available(count: int) -> bool:
    """Whether so many more may be had now. Libraries do not take no for an answer: gRPC hangs."""
    go_on = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=go_on.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        go_on.set()
        for thread in started:
            thread.join()
    return True


def leave_no_core() -> None:
    """A crash, a worker's too, must not write the pictures in memory to disk. One byte: with none
    the system would still hand them to the program that it may have for that (core(5))."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = 1 if hard else 0
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


@functools.cache
def _function(name: str) -> Any:
    """A function of the C library; None where it has no such (musl, macOS)."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


class _Facts(ctypes.Structure):
    """``struct mallinfo2`` (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def memory_in_use() -> int:
    """Bytes that were asked for and are not free, gRPC's among them. 0 where the C library does
    not tell (musl, macOS)."""
    mallinfo = _function("mallinfo2")
    if mallinfo is None:
        return 0
    mallinfo.restype = _Facts
    facts = mallinfo()
    return int(facts.uordblks + facts.hblkhd)


def trim_memory() -> bool:
    """Give back what is free, in all arenas (malloc_trim(3)); takes milliseconds, without the
    interpreter's lock. False where the C library has no such function (musl, macOS)."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True
