"""What the C library has given out, and what it keeps of freed memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim


class _Facts(ctypes.Structure):
    """``struct mallinfo2`` (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@functools.cache
def _mallinfo() -> Callable[[], _Facts] | None:
    try:
        facts = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    facts.restype = _Facts
    return facts


def in_use() -> int:
    """Bytes that were asked for and are not free, gRPC's among them. 0 where the C library does
    not tell (musl, macOS)."""
    mallinfo = _mallinfo()
    if mallinfo is None:
        return 0
    facts = mallinfo()
    return int(facts.uordblks + facts.hblkhd)


# Of mallopt(3): from which size on memory is mapped for one request alone, and how much may be
# free at the heap's end.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LARGEST, _KEPT = 32 << 20, 256 << 20


def keep() -> bool:
    """From now on keep what is freed until :func:`trim`: memory given back costs a page fault for
    every 4 KiB when it is asked for again. False where the C library cannot be told (musl,
    macOS)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))


def trim() -> bool:
    """Give back what is free, in all arenas (malloc_trim(3)); takes milliseconds, without the
    interpreter's lock. False where the C library has no such function (musl, macOS)."""
    malloc_trim = _malloc_trim()
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True
