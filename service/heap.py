"""What the C library keeps of freed memory, given back to the system."""

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


def trim() -> bool:
    """Give back what is free, in all arenas (malloc_trim(3)); takes milliseconds, without the
    interpreter's lock. False where the C library has no such function (musl, macOS)."""
    malloc_trim = _malloc_trim()
    if malloc_trim is None:
        return False
    malloc_trim(0)
    return True
