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


IN_USE = """
import ctypes
from protome import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
before = heap.in_use()
pieces = [libc.malloc(size) for size in (1000, 100_000, 50_000_000) for _ in range(10)]
during = heap.in_use()
for piece in pieces:
    libc.free(piece)
print(during - before, heap.in_use() - before)
"""


def test_what_is_in_use_is_told_whatever_the_size_of_its_pieces() -> None:
    if not heap.in_use():
        pytest.skip("the C library does not tell")
    done = subprocess.run(
        [sys.executable, "-c", IN_USE], capture_output=True, text=True, check=True
    )
    during, after = map(int, done.stdout.split())
    assert during == pytest.approx(10 * 50_101_000, rel=0.01)
    assert abs(after) < 1_000_000


KEPT = """
import numpy, psutil
from protome import heap
def resident():
    return psutil.Process().memory_info().rss
assert heap.keep()
before = resident()
numpy.ones(20 << 20, numpy.uint8)
kept = resident()
heap.trim()
print(kept - before, resident() - before)
"""


def test_what_is_freed_is_kept_until_trimmed() -> None:
    if not heap.in_use():
        pytest.skip("the C library does not tell")
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    kept, trimmed = map(int, done.stdout.split())
    assert kept > 19 << 20
    assert trimmed < 2 << 20
