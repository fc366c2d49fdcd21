"""What the tests of plain HTTP share."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

TIMEOUT: Final = 60.0
RECONSTRUCT: Final = "/v1/reconstruct"


@dataclass(frozen=True)
class HttpAnswer:
    """A response: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json()
        assert problem["status"] == self.status
        reason: str = problem["reason"]
        return reason

    def events(self) -> list[tuple[str, Any]]:
        """Names and data of server-sent events."""
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == ""
        lines = [block.split("\n") for block in blocks]
        return [
            (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
            for name, data in lines
        ]


def call(
    address: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "",
    tls: ssl.SSLContext | None = None,
) -> HttpAnswer:
    """Make one request with a connection of its own."""
    kind = http.client.HTTPConnection if tls is None else http.client.HTTPSConnection
    options: dict[str, Any] = {} if tls is None else {"context": tls}
    connection = kind(address, timeout=TIMEOUT, **options)
    try:
        connection.request(
            method or ("GET" if body is None else "POST"), path, body, dict(headers or {})
        )
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, fields, response.read())
    finally:
        connection.close()


def reconstruct(address: str, photo: bytes, query: str = "", accept: str = "") -> HttpAnswer:
    """Send a photo."""
    headers = {"accept": accept} if accept else {}
    return call(address, f"{RECONSTRUCT}?{query}" if query else RECONSTRUCT, photo, headers)
