"""Blocking calls run in a thread; processes are watched without threads."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from protome.threads import run_in_thread, watch_processes_without_threads


def test_a_call_in_a_thread_returns_or_raises() -> None:
    async def main() -> None:
        assert await run_in_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await run_in_thread(divmod, 1, 0)

    asyncio.run(main())


def test_processes_are_watched_without_threads() -> None:
    async def main() -> None:
        before = set(threading.enumerate())  # those of earlier tests may not have ended yet
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        names = [thread.name for thread in set(threading.enumerate()) - before]
        assert not [name for name in names if "waitpid" in name]
        process.kill()
        assert await process.wait() == -9

    if sys.version_info < (3, 12):
        before = asyncio.get_child_watcher()
        try:
            watch_processes_without_threads()
            asyncio.run(main())
        finally:
            asyncio.set_child_watcher(before)
    else:
        asyncio.run(main())
