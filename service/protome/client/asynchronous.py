"""The asyncio client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, Unpack

import grpc

from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

from .answers import (
    Assembler,
    CorruptAnswer,
    Reconstruction,
    ReconstructionError,
    finished,
    from_message,
    translate,
)
from .connection import OPTIONS, metadata
from .exchange import Attempts
from .requests import Options, make_request


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
            self.channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
        self.stub: pb_grpc.ReconstructionServiceAsyncStub = pb_grpc.ReconstructionServiceStub(
            self.channel
        )
        self.timeout = timeout
        self._metadata = metadata(token)

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
        request, attempts = make_request(image, **options), Attempts(timeout or self.timeout)
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
