"""Clients for backend services, blocking and asyncio.

with Client("localhost:50051") as client:
    result = client.reconstruct(photo_bytes)
    result.faces[0].mesh  # the bytes of a GLB file
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Final, Self, Unpack

import grpc

from .answer import (
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
from .v1 import reconstruction_pb2 as pb
from .v1 import reconstruction_pb2_grpc as pb_grpc

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
]

MIB: Final = 1 << 20
_OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
]


class Client:
    """A blocking client; safe to share between threads.

    Args:
        address: ``host:port``.
        credentials: for TLS; None: plain text.
        timeout: seconds a photo may take, unless a call says otherwise.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
        self.stub = pb_grpc.ReconstructionServiceStub(self.channel)
        self.timeout = timeout

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
            return self.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=self.timeout)
        except grpc.RpcError as error:
            raise translate(error) from None

    def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> Iterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            yield from self.stub.Reconstruct(request, timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise translate(error) from None

    def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """Reconstruct the faces of one photo; options as in :func:`make_request`.

        Raises:
            NoFaceFound: the photo shows no face.
            ReconstructionError: the server failed or refused.
            CorruptAnswer: the answer is damaged.
        """
        assembler = Assembler()
        for event in self.events(make_request(image, **options), timeout):
            assembler.feed(event)
        return finished(assembler)


class AsyncClient:
    """An asyncio client; arguments as :class:`Client`."""

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
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
            return await self.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=self.timeout)
        except grpc.RpcError as error:
            raise translate(error) from None

    async def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> AsyncIterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            async for event in self.stub.Reconstruct(request, timeout=timeout or self.timeout):
                yield event
        except grpc.RpcError as error:
            raise translate(error) from None

    async def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """As :meth:`Client.reconstruct`."""
        assembler = Assembler()
        async for event in self.events(make_request(image, **options), timeout):
            assembler.feed(event)
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
            async for event in self.stub.ReconstructMany(messages(), timeout=timeout):
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
