"""Threads, as many as the system allows."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from protome.threads import aside, available, spare_watchers


def test_they_are_tried_and_left() -> None:
    before = threading.active_count()
    assert available(20)
    assert threading.active_count() == before


def test_one_that_is_denied_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    start = threading.Thread.start

    def denied(thread: threading.Thread) -> None:
        if threading.active_count() >= before + 5:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", denied)
    assert available(5)
    assert not available(6)
    assert threading.active_count() == before


def test_what_is_done_aside_is_answered_or_fails() -> None:
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
