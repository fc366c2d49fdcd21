"""Fuzz plain HTTP: whatever is sent, the answer is whole and has a documented status.

    python -m tests.fuzz.corpus http CORPUS
    python -m tests.fuzz.fuzz_http CORPUS -max_total_time=28800

An input is the text of a request behind one byte. If that is even, the application is called with
the request in process; if it is odd, the bytes go through a socket to the listener. The pipeline
behind them answers at once (``tests.support.instant``).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import atheris

with atheris.instrument_imports(include=["protome.web", "protome.server", "starlette", "h11"]):
    from protome.telemetry.logs import TEXT, TextFormatter
    from protome.web.app import create_app
    from protome.web.listener import HttpListener

from tests.support.instant import create_backend

# Those of service/protome/web/README.md, of files that have not changed, and of /docs without /.
STATUSES: Final = {
    *(200, 304, 307),
    *(400, 401, 404, 405, 406, 408, 413, 415, 422, 429, 500, 503, 504),
}
METHODS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Turns of the event loop that a server without work to do needs to read, and to answer.
TURNS: Final = (8, 32)
# No answer takes as long, but a machine may be busy.
SECONDS: Final = 60.0


class Lines(logging.Handler):
    """Keeps what is logged: each a line of printable ASCII, none an error of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TextFormatter(TEXT))
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if record.levelno >= logging.ERROR or not re.fullmatch(r"[\x20-\x7e]*", line):
            self.wrong.append(line)


class Target:
    """The HTTP port of a server, and its application."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        backend, self.photos = create_backend()
        self.app = create_app(backend)
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener = HttpListener(backend, listening)
        self.loop.run_until_complete(self.listener.start())

    def run(self, data: bytes) -> None:
        """Send one input, and check what comes back."""
        raw = data[:1] and data[0] % 2
        sending = self.through_socket(data[1:]) if raw else self.in_process(data[1:])
        self.loop.run_until_complete(asyncio.wait_for(sending, SECONDS))
        assert not LINES.wrong, LINES.wrong

    async def in_process(self, text: bytes) -> None:
        """Call the application."""
        scope, parts = parsed(text)
        cut: list[bool] = []
        scope["state"] = {"abort": lambda: cut.append(True)}
        sent: list[dict[str, Any]] = []
        waiting = [
            {"type": "http.request", "body": part, "more_body": more} for part, more in parts
        ]
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop(0)
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        await self.app(scope, receive, send)
        assert self.photos.idle
        if not cut:
            check(scope["method"], sent)

    async def through_socket(self, text: bytes) -> None:
        """Send the bytes in two pieces, wait for answers, close, and read the rest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        half = len(text) // 2
        for part, turns in zip((text[:half], text[half:]), TURNS, strict=True):
            writer.write(part)
            for _ in range(turns):
                await asyncio.sleep(0)
        try:
            writer.write_eof()
            answer = await reader.read()
        except OSError:
            # Cut by the server.
            answer = b""
        writer.transport.abort()
        answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        if answer:
            found = re.match(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n", answer)
            assert found, answer[:200]
            assert int(found[1]) in STATUSES, answer[:200]
        for _ in range(sum(TURNS)):
            if self.photos.idle:
                break
            await asyncio.sleep(0)
        assert self.photos.idle, "a photo outlives its connection"


def parsed(text: bytes) -> tuple[dict[str, Any], list[tuple[bytes, bool]]]:
    """The scope and the parts of the body that a server would make of the text of a request."""
    head, _, body = text.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, _, target = first.partition(b" ")
    # H11 admits no others.
    target = re.sub(rb"[^\x21-\x7e]", b"", target.partition(b" ")[0])
    path, _, query = target.partition(b"?")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip()))
    found = METHODS.match(method)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": found[0].decode() if found else "POST",
        "path": "/" + unquote(path.decode("latin-1")).removeprefix("/"),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "server": ("x", 80),
        "client": ("x", 1),
    }
    return scope, list(_pieces(body))


def _pieces(body: bytes) -> Iterator[tuple[bytes, bool]]:
    parts = body.split(b"\r\n\r\n")
    for index, part in enumerate(parts, 1):
        yield part, index < len(parts)


def check(method: str, sent: list[dict[str, Any]]) -> None:
    """Check a response as the application sent it."""
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert start["status"] in STATUSES, start
    assert all(message["type"] == "http.response.body" for message in rest)
    assert rest
    assert not rest[-1].get("more_body")
    body = b"".join(message.get("body", b"") for message in rest)
    headers = {}
    for name, value in start["headers"]:
        assert re.fullmatch(rb"[a-z0-9-]+", name), name
        assert re.fullmatch(rb"[\x20-\x7e\x80-\xff]*", value), value
        headers[name] = value
    assert b"content-security-policy" in headers
    if b"content-length" in headers and method != "HEAD" and start["status"] != 304:
        assert int(headers[b"content-length"]) == len(body)
    kind = headers.get(b"content-type", b"").partition(b";")[0]
    if kind in (b"application/json", b"application/problem+json") and body:
        document = json.loads(gzip.decompress(body) if b"content-encoding" in headers else body)
        if kind == b"application/problem+json":
            assert document["status"] == start["status"]
            assert document.get("reason") != "INTERNAL"


LINES: Final = Lines()
logging.basicConfig(level=logging.INFO, handlers=[LINES], force=True)
TARGET: Final = Target()

if __name__ == "__main__":
    atheris.Setup(sys.argv, TARGET.run)
    atheris.Fuzz()
