"""Ask the operating system for what the process needs: descriptors, threads and memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import threading
from typing import Any, Final

# Descriptors for everything but client connections: workers, the HTTP listener, files.
RESERVED_DESCRIPTORS: Final = 256
# The least that the server needs of those: for itself, and for each worker and its replacement.
MIN_DESCRIPTORS: Final = 64
MIN_DESCRIPTORS_PER_WORKER: Final = 4


def room_for(connections: int, workers: int) -> int:
    """Raise the limit on open files for this many connections, as far as the system allows.

    Returns:
        The number of connections that may be open beside ``workers`` workers, at most
        ``connections``; 0 or less if the limit is too low for the workers alone.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return connections
    needed = MIN_DESCRIPTORS + MIN_DESCRIPTORS_PER_WORKER * workers
    return min(connections, max(soft - max(RESERVED_DESCRIPTORS, needed), (soft - needed) // 2))


def threads_available(count: int) -> bool:
    """Return whether ``count`` more threads can be started; gRPC hangs if one cannot."""
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


def disable_core_dumps() -> None:
    """Keep crashes of this process and its children from writing pictures to disk.

    The limit is one byte: with a limit of zero, the system would still pass the dump to a crash
    handler if one is configured (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 1 if hard else 0
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


@functools.cache
def _c_function(name: str) -> Any:
    """Return a function of the C library, or None if it lacks the function (musl, macOS)."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


def trim_memory() -> bool:
    """Return free memory of all arenas to the system (malloc_trim(3)).

    It takes milliseconds, without holding the interpreter's lock.

    Returns:
        False if the C library lacks the function (musl, macOS).
    """
    malloc_trim = _c_function("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True
