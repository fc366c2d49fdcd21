"""Run blocking calls beside the event loop, with as few threads as possible."""

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

# Not asyncio's own, whose end takes one more thread.
_ASIDE: Final = ThreadPoolExecutor(1, thread_name_prefix="aside")


async def aside(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in another thread, one after the other: for start-up and rare chores."""
    return await asyncio.wrap_future(_ASIDE.submit(call, *args, **kwargs))


def spare_watchers() -> None:
    """Have asyncio watch processes without a thread for each, where the system can (Linux 5.3): if
    that one were denied, nobody would take leave of the process, and it would keep its place."""
    if sys.version_info < (3, 12):  # Later it does so by itself.
        with contextlib.suppress(AttributeError, OSError):
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
