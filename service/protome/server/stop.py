"""Tell a server to stop: by a signal, or by the end of standard input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` on SIGTERM, SIGINT and SIGHUP."""
    for signal_ in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Of these nohup has SIGHUP ignored.
        if signal_ is not signal.SIGHUP or signal.getsignal(signal_) is not signal.SIG_IGN:
            loop.add_signal_handler(signal_, stop.set)


def stop_at_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` at the end of standard input, which a thread waits for."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        with contextlib.suppress(RuntimeError):  # The loop may be over already.
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()
