"""Hold the files of the page in memory, compressed."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).with_name("pages")
# Not those of mimetypes, which depend on the system.
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
# Shorter than its headers would become.
LEAST_COMPRESSED_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent.

    Attributes:
        body: its content.
        compressed: the same with gzip.
        media_type: its media type.
        etag: changes with the content.
    """

    body: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, media_type: str, *, compressible: bool = True) -> Page:
        """Prepare content to be sent."""
        digest = hashlib.sha256(body).hexdigest()[:16]
        small = gzip.compress(body, mtime=0) if compressible else b""
        return cls(body, small, media_type, f'"{digest}"')

    def route(self, path: str) -> Route:
        """Return the route that sends it."""

        async def send(request: Request) -> Response:
            return self._response(request)

        return Route(path, send, methods=["GET"])

    def _response(self, request: Request) -> Response:
        headers = {"etag": self.etag, "vary": "accept-encoding", "content-type": self.media_type}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        body = self.body
        if (
            len(body) >= LEAST_COMPRESSED_BYTES
            and self.compressed
            and "gzip" in request.headers.get("accept-encoding", "")
        ):
            body, headers["content-encoding"] = self.compressed, "gzip"
        return Response(body, headers=headers)


def page_routes() -> Iterator[Route]:
    """Yield a route for each file of the page; that of a folder is its index.html."""
    for file in sorted(FOLDER.rglob("*.*")):
        path = "/" + file.relative_to(FOLDER).as_posix().removesuffix("index.html")
        compressible = file.suffix != ".webp"
        page = Page.of(file.read_bytes(), TYPES[file.suffix], compressible=compressible)
        yield page.route(path)
