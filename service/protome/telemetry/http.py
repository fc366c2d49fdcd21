"""The HTTP listener: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for probes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, of which there are few: one more ends the oldest. Answers
    take milliseconds, so that is one that says nothing, or too slowly."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            connection: tuple[socket.socket, Any] = super().get_request()
        except OSError:
            # No descriptor is left: asked again at once, it would keep a core busy.
            time.sleep(0.05)
            raise
        return connection

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                # Its thread reads the end, and closes it.
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system denies a thread: probes must not fail for that, and may wait for this one.
            self.process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hung up in the middle."""
        log.debug("a connection of the HTTP listener failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    # A peer that connects and says nothing must not keep a thread for good.
    timeout = 10

    def get_stderr(self) -> io.StringIO:
        """Where tracebacks go: past the log they would stop this thread if nobody reads."""
        return io.StringIO()

    def log_message(self, format: str, *args: object) -> None:
        """Probes every few seconds are no news."""


class HttpServer:
    """Serves in threads of its own, so that it answers while the event loop is busy.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        registry: the metrics.
        alive: whether the server still works; may take seconds to tell.
        ready: whether requests are taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        *,
        alive: Callable[[], bool],
        ready: Callable[[], bool],
    ) -> None:
        metrics = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                try:
                    answer: Iterable[bytes] = metrics(environ, start)
                except Exception:
                    # Of some versions in Accept the client library makes nothing.
                    log.exception("the metrics cannot be told")
                    return _text(start, "500 Internal Server Error", "see the log")
                return answer
            if path == "/healthz":
                if alive():
                    return _text(start, "200 OK", "alive")
                return _text(start, "503 Service Unavailable", "stuck")
            if path == "/readyz":
                if ready():
                    return _text(start, "200 OK", "ready")
                return _text(start, "503 Service Unavailable", "not ready")
            return _text(start, "404 Not Found", "try /metrics, /healthz or /readyz")

        self._server = make_server(host, port, app, _Server, _Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _text(start: StartResponse, status: str, body: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode() + b"\n"]


# An event loop that gets to nothing for so long is stuck, seconds: less than probes wait.
STUCK: Final = 5.0


def turns(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether an event loop gets to something new; asked by another thread."""
    turned = threading.Event()
    loop.call_soon_threadsafe(turned.set)
    return turned.wait(STUCK)
