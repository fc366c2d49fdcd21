"""Calls beside the event loop, and watched processes."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from protome.threads import aside, spare_watchers


def test_aside_returns_the_result_or_raises() -> None:
    async def main() -> None:
        assert await aside(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await aside(divmod, 1, 0)

    asyncio.run(main())


def test_processes_are_watched_without_threads() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if "waitpid" in name]
        process.kill()
        assert await process.wait() == -9

    if sys.version_info < (3, 12):
        before = asyncio.get_child_watcher()
        try:
            spare_watchers()
            asyncio.run(main())
        finally:
            asyncio.set_child_watcher(before)
    else:
        asyncio.run(main())
