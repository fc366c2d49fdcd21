"""Call a server over HTTP from the load generator, with the interface of Protome's client."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import aiohttp
import grpc

from protome.bench.load import Caller, Connect, connect, main
from protome.client.errors import ReconstructionError
from protome.v1 import reconstruction_pb2 as pb

BOUNDARY: Final = "protome-photo"
HEAD: Final = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n'
    "Content-Type: image/jpeg\r\n\r\n"
).encode()
TAIL: Final = f"\r\n--{BOUNDARY}--\r\n".encode()
CODES: Final = {
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def failure(status: int) -> ReconstructionError:
    """Convert an HTTP status to the error of the corresponding gRPC status."""
    return ReconstructionError(CODES.get(status, grpc.StatusCode.INTERNAL), f"HTTP {status}")


class HttpCaller:
    """Calls one server; the mesh comes in chunks as the network delivers it.

    Args:
        session: session of the HTTP client.
        base: http://host:port.
        path: path that photos are posted to.
        form: post a form with a file instead of the bytes.
        health: path that is requested to connect.
    """

    def __init__(
        self, session: Any, base: str, *, path: str, form: bool = False, health: str = "/"
    ) -> None:
        self._session = session
        self._url = base + path
        self._health = base + health
        self._form = form

    async def server_info(self) -> object:
        """Return once the server answers."""
        async with self._session.get(self._health) as answer:
            return await answer.read()

    async def events(self, request: pb.ReconstructRequest) -> AsyncIterator[pb.ReconstructResponse]:
        """Post the request's photo; the server has fixed options."""
        body, kind = request.image, "application/octet-stream"
        if self._form:
            body, kind = HEAD + body + TAIL, f"multipart/form-data; boundary={BOUNDARY}"
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": kind}
            ) as answer:
                if answer.status != 200:
                    raise failure(answer.status)
                async for data in answer.content.iter_any():
                    yield pb.ReconstructResponse(chunk=pb.MeshChunk(data=data))
        except TimeoutError:
            raise ReconstructionError(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer") from None
        except aiohttp.ClientError as error:
            raise ReconstructionError(grpc.StatusCode.UNAVAILABLE, repr(error)) from None


@contextlib.asynccontextmanager
async def _caller(
    address: str, timeout: float, *, reuse: bool = True, **server: Any
) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=not reuse),
        timeout=aiohttp.ClientTimeout(total=timeout),
        # LitServe would compress the compressed mesh again.
        headers={"Accept-Encoding": "identity"},
    ) as session:
        yield HttpCaller(session, f"http://{address}", **server)


def caller(**server: Any) -> Connect:
    """Return a function that connects to a server.

    Args:
        server: arguments as :class:`HttpCaller`, and ``reuse``: whether calls share connections.
    """

    def make(address: str, timeout: float) -> AbstractAsyncContextManager[Caller]:
        return _caller(address, timeout, **server)

    return make


#: Ways to connect to the servers, by :attr:`System.how`.
CONNECT: Final[dict[str, Connect]] = {
    "grpc": connect,
    "mosec": caller(path="/inference"),
    "litserve": caller(path="/predict", form=True, health="/health"),
    # A connection stays with the worker that accepted it, and one may have accepted most of them.
    "bentoml": caller(path="/reconstruct", health="/livez", reuse=False),
    "ray": caller(path="/", health="/-/healthz"),
}


async def _mesh(how: str, address: str, request: pb.ReconstructRequest, seconds: float) -> bytes:
    async with CONNECT[how](address, seconds) as caller:
        return b"".join([event.chunk.data async for event in caller.events(request)])


def mesh(how: str, address: str, request: pb.ReconstructRequest, seconds: float = 60.0) -> bytes:
    """Request the mesh of one photo.

    Raises:
        ReconstructionError: the call failed.
    """
    return asyncio.run(_mesh(how, address, request, seconds))


if __name__ == "__main__":
    # The load generator of ``protome bench`` in a process of its own.
    main(CONNECT[sys.argv[1]])
