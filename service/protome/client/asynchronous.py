"""Call a server from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Self, TypeAlias, TypeVar, Unpack

import grpc

from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

from .answers import Assembler, Reconstruction
from .connection import Connection
from .errors import CorruptAnswer, ReconstructionError, error_from_call, error_from_message
from .exchange import Exchange
from .requests import Options, Photo, make_request

T = TypeVar("T")
IdAndRequest: TypeAlias = tuple[str, pb.ReconstructRequest]


class AsyncClient(Connection):
    """A client for asyncio; arguments as :class:`Client`."""

    channel: grpc.aio.Channel
    stub: pb_grpc.ReconstructionServiceAsyncStub
    _api = grpc.aio

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close(None)

    async def server_info(self) -> pb.GetServerInfoResponse:
        """Ask the server for its version, network and limits; errors as :class:`Client`."""
        try:
            return await self.stub.GetServerInfo(pb.GetServerInfoRequest(), **self._call_options())
        except grpc.RpcError as error:
            raise error_from_call(error) from None

    async def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> AsyncIterator[pb.ReconstructResponse]:
        """Yield the messages of a response as they arrive; errors as :class:`Client`."""
        try:
            async for event in self.stub.Reconstruct(request, **self._call_options(timeout)):
                yield event
        except grpc.RpcError as error:
            raise error_from_call(error) from None

    async def reconstruct(
        self, image: Photo, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """Reconstruct the faces of one photo; see :meth:`Client.reconstruct`."""
        # In a thread: it may read a file.
        request = await asyncio.to_thread(make_request, image, **options)
        exchange = Exchange(request, timeout or self.timeout)
        while True:
            try:
                async for event in self.events(exchange.request, exchange.timeout):
                    exchange.feed(event)
                return exchange.result()
            except ReconstructionError as error:
                exchange.retry(error)

    async def reconstruct_many(
        self,
        requests: AsyncIterable[IdAndRequest] | Iterable[IdAndRequest],
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, Reconstruction | ReconstructionError]]:
        """Send photos over one stream; yield (id, result) as they finish.

        Args:
            requests: (id of your choice, request); pulled only as fast as the server reads.
            timeout: time limit of the whole stream, seconds; None: no limit.

        Raises:
            ReconstructionError: the stream failed; that of a single photo is yielded.
            CorruptAnswer: a response is damaged or incomplete.
        """
        failure: Exception | None = None

        async def messages() -> AsyncIterator[pb.ReconstructManyRequest]:
            nonlocal failure
            try:
                async for request_id, request in _each(requests):
                    yield pb.ReconstructManyRequest(request_id=request_id, request=request)
            except Exception as error:
                # gRPC would only cancel the call and drop the exception.
                failure = error

        incomplete: dict[str, Assembler] = {}
        try:
            async for event in self.stub.ReconstructMany(
                messages(), timeout=timeout, metadata=self._metadata
            ):
                if event.HasField("error"):
                    incomplete.pop(event.request_id, None)
                    yield event.request_id, error_from_message(event.error)
                    continue
                assembler = incomplete.setdefault(event.request_id, Assembler())
                assembler.feed(event)
                if assembler.done:
                    yield event.request_id, incomplete.pop(event.request_id).complete()
        except grpc.RpcError as error:
            raise error_from_call(error) from None
        if failure is not None:
            raise failure
        if incomplete:
            raise CorruptAnswer(f"no summary came for {', '.join(sorted(incomplete))}")


async def _each(items: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
