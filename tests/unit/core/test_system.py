"""Descriptors, threads and memory; limits are set in separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from protome import system
from protome.workers.handle import WORKER_ENVIRONMENT

# Every second of many small pieces is freed: the C library keeps all of them, as the last lives on.
HOLES = """
import ctypes, psutil
from protome import system
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
pieces = [libc.malloc(100_000) for _ in range(1000)]
for piece in pieces:
    ctypes.memset(piece, 1, 100_000)
for piece in pieces[:-1]:
    libc.free(piece)
resident = psutil.Process().memory_info().rss
assert system.trim_memory()
print(resident - psutil.Process().memory_info().rss)
"""


def test_trim_returns_free_memory_below_used_memory() -> None:
    if not system.trim_memory():
        pytest.skip("the C library has no malloc_trim")
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80_000_000


KEPT = """
import numpy, psutil
from protome import system
def resident():
    return psutil.Process().memory_info().rss
before = resident()
numpy.ones(20 << 20, numpy.uint8)
kept = resident()
system.trim_memory()
print(kept - before, resident() - before)
"""


def test_what_a_worker_frees_is_kept_until_trimmed() -> None:
    if not system.trim_memory():
        pytest.skip("the C library has no malloc_trim")
    command, env = [sys.executable, "-c", KEPT], {**os.environ, **WORKER_ENVIRONMENT}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    kept, trimmed = map(int, done.stdout.split())
    assert kept > 19 << 20
    assert trimmed < 2 << 20


def test_threads_of_the_check_end() -> None:
    before = set(threading.enumerate())
    assert system.threads_available(20)
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


def test_a_denied_thread_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    start = threading.Thread.start

    def denied(thread: threading.Thread) -> None:
        if len(set(threading.enumerate()) - before) >= 5:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", denied)
    assert system.threads_available(5)
    assert not system.threads_available(6)
    assert set(threading.enumerate()) <= before


SHOWN = """
import resource, sys
from protome.system import room_for
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(connections, 4), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "granted", "limit"),
    [
        (1000, 2000, 100, 100, 1000),
        (500, 2000, 1000, 1000, 1256),
        (500, 1000, 4000, 744, 1000),
        (120, 120, 4000, 20, 120),
        (80, 80, 4000, 0, 80),
        (40, 40, 4000, -20, 40),
    ],
)
def test_limit_on_descriptors_is_raised_as_far_as_allowed(
    soft: int, hard: int, connections: int, granted: int, limit: int
) -> None:
    command = [sys.executable, "-c", SHOWN, *map(str, (soft, hard, connections))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(granted), str(limit)]
