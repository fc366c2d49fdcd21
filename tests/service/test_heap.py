"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from protome import heap

# Every second of many small pieces is freed: the C library keeps all of them, as the last lives on.
HOLES = """
import ctypes, psutil
from protome import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
pieces = [libc.malloc(100_000) for _ in range(1000)]
for piece in pieces:
    ctypes.memset(piece, 1, 100_000)
for piece in pieces[:-1]:
    libc.free(piece)
resident = psutil.Process().memory_info().rss
assert heap.trim()
print(resident - psutil.Process().memory_info().rss)
"""


def test_trim_gives_back_what_lies_below_what_is_used() -> None:
    if not heap.trim():
        pytest.skip("the C library has no malloc_trim")
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80_000_000
