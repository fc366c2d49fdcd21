"""Run a server in this process."""

from __future__ import annotations

import asyncio
from typing import Final

from protome.config import Config
from protome.system import leave_no_core, threads_available
from protome.telemetry import logs
from protome.threads import spare_watchers

from .listen import StartupError
from .server import Server

# gRPC has up to 16 in one pool, and single ones; each worker is a process, has a thread of the
# engine's beside it, and is watched by one on old systems.
THREADS: Final = 32
WORKER_THREADS: Final = 3


def serve(config: Config, *, until_eof: bool = False) -> None:
    """Run a server until it is told to stop, by a signal or by the end of standard input."""
    threads = THREADS + WORKER_THREADS * config.worker_count
    if not threads_available(threads):
        raise StartupError(f"the system allows fewer than {threads} more threads and processes")
    logs.set_up(config.log_level, config.log_format)
    leave_no_core()
    spare_watchers()
    try:
        asyncio.run(Server(config, until_eof=until_eof).run())
    finally:
        logs.finish()
