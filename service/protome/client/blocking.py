"""Clients for backend services, blocking and asyncio.

with Client("localhost:50051") as client:
    result = client.reconstruct(photo_bytes)
    result.faces[0].mesh  # the bytes of a GLB file
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack

import grpc

from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

from .requests import (
    Assembler,
    CorruptAnswer,
    Face,
    NoFaceFound,
    Options,
    Reconstruction,
    ReconstructionError,
    finished,
    from_message,
    make_request,
    translate,
)

__all__ = [
    "AsyncClient",
    "Client",
    "CorruptAnswer",
    "Face",
    "NoFaceFound",
    "Options",
    "Reconstruction",
    "ReconstructionError",
    "make_request",
    "tls",
]

MIB: Final = 1 << 20
#: How clients balance and retry, in gRPC's own terms; for clients in other languages too.
SERVICE_CONFIG: Final = Path(__file__).with_name("service_config.json")
_OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    ("grpc.service_config", SERVICE_CONFIG.read_text(encoding="utf-8")),
    # A photo larger than this could not be sent again.
    ("grpc.per_rpc_retry_buffer_size", 64 * MIB),
    # A server that vanished without a word is found out.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def tls(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials from PEM files.

    Args:
        ca: certificates that must vouch for the server; None: those of the system.
        cert: certificate of the client, for servers that ask for one.
        key: its private key.
    """
    files = (None if path is None else path.read_bytes() for path in (ca, key, cert))
    return grpc.ssl_channel_credentials(*files)


class _Attempts:
    """An answer that breaks off with its connection is asked for once more.

    gRPC itself asks again only while nothing of the answer has come.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._left = 1

    @property
    def timeout(self) -> float | None:
        """Seconds that are left for the next attempt."""
        return None if self._until is None else max(self._until - time.monotonic(), 1e-3)

    def again(self, error: ReconstructionError, assembler: Assembler) -> bool:
        """Whether to try once more. A server that gives a reason would have it again."""
        broken = error.code is grpc.StatusCode.UNAVAILABLE and not error.reason
        begun = error.begun or assembler.result is not None
        self._left -= 1
        return broken and begun and self._left >= 0


def _metadata(token: str | None) -> tuple[tuple[str, str], ...] | None:
    return None if token is None else (("authorization", f"Bearer {token}"),)


class Client:
    """A blocking client; safe to share between threads.

    Args:
        address: ``host:port``; calls are spread over all addresses that the name stands for.
        credentials: for TLS, as from :func:`tls`; None: plain text.
        token: for servers that ask for one.
        timeout: seconds a photo may take, unless a call says otherwise.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
        self.stub = pb_grpc.ReconstructionServiceStub(self.channel)
        self.timeout = timeout
        self._metadata = _metadata(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def server_info(self) -> pb.GetServerInfoResponse:
        """What the server is."""
        try:
            return self.stub.GetServerInfo(
                pb.GetServerInfoRequest(), timeout=self.timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise translate(error) from None

    def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> Iterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            yield from self.stub.Reconstruct(
                request, timeout=timeout or self.timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise translate(error) from None

    def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """Reconstruct the faces of one photo; options as in :func:`make_request`.

        If its connection breaks off in the middle of the answer it is asked for once more.

        Raises:
            NoFaceFound: the photo shows no face.
            ReconstructionError: the server failed or refused.
            CorruptAnswer: the answer is damaged.
        """
        request, attempts = make_request(image, **options), _Attempts(timeout or self.timeout)
        while True:
            assembler = Assembler()
            try:
                for event in self.events(request, attempts.timeout):
                    assembler.feed(event)
            except ReconstructionError as error:
                if attempts.again(error, assembler):
                    continue
                raise
            return finished(assembler)


class AsyncClient:
    """An asyncio client; arguments as :class:`Client`."""

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self.stub: pb_grpc.ReconstructionServiceAsyncStub = pb_grpc.ReconstructionServiceStub(
            self.channel
        )
        self.timeout = timeout
        self._metadata = _metadata(token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close(None)

    async def server_info(self) -> pb.GetServerInfoResponse:
        """What the server is."""
        try:
            return await self.stub.GetServerInfo(
                pb.GetServerInfoRequest(), timeout=self.timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise translate(error) from None

    async def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> AsyncIterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            async for event in self.stub.Reconstruct(
                request, timeout=timeout or self.timeout, metadata=self._metadata
            ):
                yield event
        except grpc.RpcError as error:
            raise translate(error) from None

    async def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """As :meth:`Client.reconstruct`."""
        request, attempts = make_request(image, **options), _Attempts(timeout or self.timeout)
        while True:
            assembler = Assembler()
            try:
                async for event in self.events(request, attempts.timeout):
                    assembler.feed(event)
            except ReconstructionError as error:
                if attempts.again(error, assembler):
                    continue
                raise
            return finished(assembler)

    async def reconstruct_many(
        self,
        requests: AsyncIterator[tuple[str, pb.ReconstructRequest]],
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, Reconstruction | ReconstructionError]]:
        """Send photos over one stream; yields (id, outcome) as they finish.

        Args:
            requests: (id of your choice, request); pulled only as fast as the server reads.
            timeout: seconds for the whole stream.
        """

        failure: Exception | None = None

        async def messages() -> AsyncIterator[pb.ReconstructManyRequest]:
            nonlocal failure
            try:
                async for request_id, request in requests:
                    yield pb.ReconstructManyRequest(request_id=request_id, request=request)
            except Exception as error:
                # gRPC would only cancel the call and forget why.
                failure = error

        open_: dict[str, Assembler] = {}
        try:
            async for event in self.stub.ReconstructMany(
                messages(), timeout=timeout, metadata=self._metadata
            ):
                if event.HasField("error"):
                    open_.pop(event.request_id, None)
                    yield event.request_id, from_message(event.error)
                    continue
                assembler = open_.setdefault(event.request_id, Assembler())
                assembler.feed(event)
                if assembler.done:
                    yield event.request_id, finished(open_.pop(event.request_id))
        except grpc.RpcError as error:
            raise translate(error) from None
        if failure is not None:
            raise failure
        if open_:
            raise CorruptAnswer(f"no summary came for {', '.join(sorted(open_))}")
