"""Run a server in this process."""

from __future__ import annotations

import asyncio
from typing import Final

from protome.config import Config
from protome.system import disable_core_dumps, threads_available
from protome.telemetry import logs
from protome.threads import watch_processes_without_threads

from .backend import OpenListener
from .listen import StartupError
from .server import Server

# gRPC starts up to 16 threads in a pool and a few others. Each worker takes a process and an engine
# thread, and on old systems a thread that watches it.
SERVER_THREADS: Final = 32
THREADS_PER_WORKER: Final = 3


def serve(config: Config, *, until_eof: bool = False, web: OpenListener | None = None) -> None:
    """Run a server until a signal, or the end of standard input if ``until_eof``, stops it.

    Args:
        config: the settings.
        until_eof: stop at the end of standard input too.
        web: opens the HTTP port; None: gRPC only.

    Raises:
        StartupError, ModelError, WorkerDied: the server cannot start.
    """
    threads = SERVER_THREADS + THREADS_PER_WORKER * config.worker_count
    if not threads_available(threads):
        raise StartupError(f"the system allows fewer than {threads} more threads and processes")
    logs.set_up(config.log_level, config.log_format)
    disable_core_dumps()
    watch_processes_without_threads()
    try:
        asyncio.run(Server(config, until_eof=until_eof, web=web).run())
    finally:
        logs.finish()
