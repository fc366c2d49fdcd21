"""Stop a server on a signal or at the end of standard input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set ``stop`` on SIGTERM, SIGINT and SIGHUP."""
    for signal_ in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # nohup starts programs with SIGHUP ignored; it must stay so.
        if signal_ is not signal.SIGHUP or signal.getsignal(signal_) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal_, stop.set)


def stop_at_eof(stop: asyncio.Event) -> None:
    """Set ``stop`` at the end of standard input, which a thread reads."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        while os.read(0, 4096):
            pass
        with contextlib.suppress(RuntimeError):  # The loop may have ended already.
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()
