"""Run blocking calls in a thread, and watch processes, with as few threads as possible."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Not asyncio's default executor, whose shutdown starts one more thread.
_EXECUTOR: Final = ThreadPoolExecutor(1, thread_name_prefix="blocking")


async def run_in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in another thread, one at a time: for start-up and rare tasks."""
    return await asyncio.wrap_future(_EXECUTOR.submit(call, *args, **kwargs))


def watch_processes_without_threads() -> None:
    """Make asyncio watch each process by its descriptor, where the system can (Linux 5.3).

    By default asyncio starts a thread for each process. If the system denied that thread, asyncio
    would not notice the end of the process, and its worker would not be replaced.
    """
    if sys.version_info < (3, 12):  # Later versions do so by default.
        with contextlib.suppress(AttributeError, OSError):
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
