"""Run a server in a process of its own, on loopback, for the duration of a ``with`` block."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from .extras import require_server

START_TIMEOUT_SECONDS: Final = 120.0
STOP_TIMEOUT_SECONDS: Final = 40.0


class EmbeddedError(RuntimeError):
    """The server did not start; the message contains its output."""


class EmbeddedServer:
    """Run ``protome serve`` on free loopback ports.

    Args:
        flags: additional flags of ``protome serve``.
        host: loopback address to listen on.

    Attributes:
        address: host:port of gRPC, once entered.
        http: host:port of metrics and probes, once entered.
        web: host:port of plain HTTP and the page, once entered; empty with ``--no-web``.
        process: the server process, once entered.
    """

    def __init__(self, flags: Sequence[str] = (), *, host: str = "127.0.0.1") -> None:
        self._flags = list(flags)
        self._host = host
        self.address = ""
        self.http = ""
        self.web = ""

    def __enter__(self) -> Self:
        require_server("starting a server")
        self._folder = tempfile.TemporaryDirectory(prefix="protome-")
        port_file = Path(self._folder.name) / "ports"
        self.log = Path(self._folder.name) / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", __package__, "serve"),
                    *("--host", self._host, "--port", "0"),
                    *("--metrics-host", self._host, "--metrics-port", "0", "--web-port", "0"),
                    *("--port-file", str(port_file), "--drain-delay", "0"),
                    # The pipe closes however this process ends, which stops the server.
                    "--until-eof",
                    *self._flags,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready(port_file)
        except BaseException:
            self.__exit__()
            raise
        grpc_port, http_port, *web_port = port_file.read_text().split()
        self.address = f"{self._host}:{grpc_port}"
        self.http = f"{self._host}:{http_port}"
        self.web = f"{self._host}:{web_port[0]}" if web_port else ""
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._folder.cleanup()

    def _wait_until_ready(self, port_file: Path) -> None:
        limit = time.monotonic() + START_TIMEOUT_SECONDS
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > limit:
                output = self.log.read_text(errors="replace")[-4000:]
                raise EmbeddedError(f"the server did not start:\n{output}")
            time.sleep(0.02)
