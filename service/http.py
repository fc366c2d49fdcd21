"""The HTTP listener: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for probes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    # A peer that connects and says nothing must not keep a thread for good.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """Probes every few seconds are no news."""


class HttpServer:
    """Serves in threads of its own, so that it answers while the event loop is busy.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        registry: the metrics.
        ready: whether requests are taken.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, ready: Callable[[], bool]
    ) -> None:
        metrics = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                answer: Iterable[bytes] = metrics(environ, start)
                return answer
            if path == "/healthz":
                return _text(start, "200 OK", "alive")
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
