"""Listen for HTTP in the event loop of the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from protome.config import Config
from protome.server.backend import Backend
from protome.server.listen import StartupError

from .app import create_app

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 512
# Time for the head of a request.
HEAD_SECONDS: Final = 15.0
# Time between two requests of a connection: longer than proxies keep theirs, often 60 s, so that
# they do not use one that is being closed.
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 256


class HttpConnection(H11Protocol):
    """A connection with limits that uvicorn lacks: on their number, and on time for a head."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or close it if there are too many."""
        super().connection_made(transport)
        # Writers of a response can cut a connection whose client does not read.
        self.app_state = {**self.app_state, "abort": transport.abort}
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        self._limit_head()

    def data_received(self, data: bytes) -> None:
        """Take data from the client."""
        super().data_received(data)
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, and close the connection.

        If it is the body of a request, uvicorn would answer in the middle of the application's
        response, or the application after this one: errors in the log, with a traceback.
        """
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        state = self.conn.our_state
        # Uvicorn's response has a body, which that to HEAD must not have.
        if state is h11.IDLE or (state is h11.SEND_RESPONSE and cycle.scope["method"] != "HEAD"):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _limit_head(self) -> None:
        """Run the timer while a new connection or one with part of a request lacks its head."""
        cycle: Any = self.cycle
        waiting = cycle is None or cycle.response_complete
        if waiting and self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        elif not waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: the server of gRPC has its own.

    Attributes:
        accepting: set once it accepts connections.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpListener:
    """The HTTP port of a server.

    Args:
        backend: the server behind it.
        listening: a bound socket.

    Attributes:
        port: the port in use.
    """

    def __init__(self, backend: Backend, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self._socket = listening
        certificates = backend.certificates

        def context(*args: object) -> ssl.SSLContext:
            del args
            assert certificates is not None
            return certificates.context()

        self._config = uvicorn.Config(
            create_app(backend),
            http=HttpConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_context_factory=None if certificates is None else context,
        )
        self._server = _Uvicorn(self._config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        accepting = asyncio.create_task(self._server.accepting.wait())
        await asyncio.wait({self._serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        if self._serving.done():
            await self._serving

    async def stop(self, seconds: float) -> None:
        """Accept no more connections, and let requests in flight finish within ``seconds``."""
        if self._serving is None:
            return
        self._config.timeout_graceful_shutdown = round(seconds)
        self._server.should_exit = True
        await self._serving
        self._serving = None


async def open_listener(backend: Backend) -> HttpListener:
    """Open the HTTP port of a server.

    Raises:
        StartupError: the address is not available.
    """
    config = backend.config
    listener = HttpListener(backend, _bind(config))
    await listener.start()
    log.info("the page and plain HTTP are at %s", address(config, listener.port))
    return listener


def address(config: Config, port: int) -> str:
    """Return the URL of the page, as a browser on this machine can open it."""
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(config.host, config.host)
    scheme = "https" if config.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def _bind(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.web_port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise StartupError(
            f"cannot listen on {config.host}:{config.web_port} for HTTP (--web-port, --no-web): "
            f"{error}"
        ) from None
