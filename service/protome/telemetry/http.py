"""Serve ``/metrics`` for Prometheus, and ``/healthz`` and ``/readyz`` for probes, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
# An event loop that runs no callback for this long is stuck; probes wait longer.
LOOP_STALL_SECONDS: Final = 5.0


class _Server(ThreadingWSGIServer):
    """A server with one thread for each of at most MAX_CONNECTIONS connections.

    A new connection over the limit closes the oldest one: responses take milliseconds, so its
    client sends nothing or reads too slowly.
    """

    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            connection: tuple[socket.socket, Any] = super().get_request()
        except OSError:
            # No descriptor is left; an immediate retry would keep a core busy.
            time.sleep(0.05)
            raise
        return connection

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                # Its thread then reads the end of the stream and closes the socket.
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system denies a thread. Answer in this one: probes must not fail for that.
            self.process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a connection that its client closed early."""
        log.debug("a connection of the HTTP listener failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    # Close connections on which the client sends nothing.
    timeout = 10

    def get_stderr(self) -> io.StringIO:
        """Discard tracebacks: writing them would block this thread if standard error is full."""
        return io.StringIO()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes arrive every few seconds."""


class Probes(Protocol):
    """Answers for the probes."""

    @property
    def ready(self) -> bool:
        """Whether requests are accepted."""

    def alive(self) -> bool:
        """Return whether the server works; may take seconds."""


class HttpServer:
    """An HTTP server with its own threads, so that it answers while the event loop is busy.

    It answers from entering its context until leaving it.

    Args:
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        registry: the metrics.
        probes: answers for ``/healthz`` and ``/readyz``.

    Attributes:
        port: the port in use.

    Raises:
        OSError: the address is not available.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, probes: Probes) -> None:
        self._metrics = make_wsgi_app(registry)
        self._probes = probes
        self._server = make_server(host, port, self._respond, _Server, _Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            try:
                response: Iterable[bytes] = self._metrics(environ, start)
            except Exception:
                # The library fails on some values of the header Accept.
                log.exception("the metrics cannot be rendered")
                return _text(start, "500 Internal Server Error", "see the log")
            return response
        if path == "/healthz":
            if self._probes.alive():
                return _text(start, "200 OK", "alive")
            return _text(start, "503 Service Unavailable", "stuck")
        if path == "/readyz":
            if self._probes.ready:
                return _text(start, "200 OK", "ready")
            return _text(start, "503 Service Unavailable", "not ready")
        return _text(start, "404 Not Found", "try /metrics, /healthz or /readyz")


def _text(start: StartResponse, status: str, body: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode() + b"\n"]


def loop_responds(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether an event loop runs callbacks; call it from another thread.

    It takes up to LOOP_STALL_SECONDS.
    """
    ran = threading.Event()
    loop.call_soon_threadsafe(ran.set)
    return ran.wait(LOOP_STALL_SECONDS)
