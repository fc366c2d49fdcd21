"""What the C library has given out, and what it keeps of freed memory."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

# Of mallopt(3): from which size on memory is mapped for one request alone, and how much may be
# free at the heap's end.
MMAP_THRESHOLD: Final = -3
TRIM_THRESHOLD: Final = -1
LARGEST: Final = 32 << 20
KEPT: Final = 256 << 20


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


def in_use() -> int:
    """Bytes that were asked for and are not free, gRPC's among them. 0 where the C library does
    not tell (musl, macOS)."""
    mallinfo = _function("mallinfo2")
    if mallinfo is None:
        return 0
    mallinfo.restype = _Facts
    facts = mallinfo()
    return int(facts.uordblks + facts.hblkhd)


def keep() -> bool:
    """From now on keep what is freed until :func:`trim`: memory given back costs a page fault for
    every 4 KiB when it is asked for again. False where the C library cannot be told (musl,
    macOS)."""
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, KEPT))


def trim() -> bool:
    """Give back what is free, in all arenas (malloc_trim(3)); takes milliseconds, without the
    interpreter's lock. False where the C library has no such function (musl, macOS)."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True
