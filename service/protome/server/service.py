"""The gRPC methods: requests in, events of the line out."""

from __future__ import annotations

from typing import Any, Final

import grpc

from protome.errors import InvalidRequest, Overloaded, ProtomeError
from protome.pipeline.pipeline import Pipeline
from protome.telemetry.context import Call
from protome.telemetry.metrics import Metrics
from protome.v1 import reconstruction_pb2 as pb

from . import status
from .parse_request import parsed
from .photo_call import Reception
from .photo_stream import PhotoStream
from .respond import Context, answering, deadline_of
from .uploads import Uploads

_CONTRACT: Final = pb.DESCRIPTOR.services_by_name["ReconstructionService"]
SERVICE: Final = _CONTRACT.full_name
METHODS: Final = frozenset(f"/{SERVICE}/{method.name}" for method in _CONTRACT.methods)


class Servicer:
    """Serves ``protome.v1.ReconstructionService``.

    Args:
        reception: takes the photos.
        line: says early what could not be done in time.
        metrics: counts.
        info: the answer to GetServerInfo.
        uploads: who may send.
        max_streams: ReconstructMany streams open at a time.
        max_stream_photos: photos of one ReconstructMany stream worked on at a time.
        receive_seconds: how long a stream may be idle.
    """

    def __init__(
        self,
        *,
        reception: Reception,
        line: Pipeline,
        metrics: Metrics,
        info: pb.GetServerInfoResponse,
        uploads: Uploads,
        max_streams: int,
        max_stream_photos: int,
        receive_seconds: float,
    ) -> None:
        self._reception = reception
        self._line = line
        self._metrics = metrics
        self._info = info
        self._uploads = uploads
        self._max_streams = max_streams
        self._max_stream_photos = max_stream_photos
        self._receive_seconds = receive_seconds
        self._streams = 0

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """The methods for a server.

        Reconstruct is served as if photos were streamed, which on the wire is the same: so its
        message is read only when there is a place for it. All messages are parsed here, so that
        those that cannot be are an error of ours.
        """
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Reconstruct": grpc.stream_stream_rpc_method_handler(
                    self.Reconstruct, None, pb.ReconstructResponse.SerializeToString
                ),
                "ReconstructMany": grpc.stream_stream_rpc_method_handler(
                    self.ReconstructMany,
                    None,
                    pb.ReconstructManyResponse.SerializeToString,
                ),
                "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                    self.GetServerInfo,
                    None,
                    pb.GetServerInfoResponse.SerializeToString,
                ),
            },
        )

    async def Reconstruct(self, requests: object, context: Context) -> None:
        """One photo; see the contract."""
        del requests
        with self._reception.working():
            await self._reconstruct(context)

    async def _reconstruct(self, context: Context) -> None:
        async with answering(context) as (call, write):
            # At once: gRPC reckons it with the wall clock, which may jump.
            deadline = deadline_of(context)
            try:
                message = await self._receive(context, call, deadline)
            except ProtomeError as error:
                self._metrics.turned_away("Reconstruct", status.code(error).name)
                raise
            await self._reception.photo("Reconstruct", call, message, deadline, write)

    async def ReconstructMany(self, requests: object, context: Context) -> None:
        """Many photos over one stream; see the contract."""
        del requests
        async with answering(context) as (call, write):
            if self._streams >= self._max_streams:
                raise Overloaded(f"{self._streams} streams are open", max_streams=self._streams)
            self._streams += 1
            stream = PhotoStream(
                reception=self._reception,
                uploads=self._uploads,
                context=context,
                call=call,
                write=write,
                deadline=deadline_of(context),
                max_photos=self._max_stream_photos,
                receive_seconds=self._receive_seconds,
            )
            try:
                await stream.serve()
            finally:
                self._streams -= 1

    async def GetServerInfo(self, request: bytes, context: Context) -> pb.GetServerInfoResponse:
        """What this server is; see the contract."""
        async with answering(context):
            parsed(pb.GetServerInfoRequest, request)
            return self._info

    async def _receive(
        self, context: Context, call: Call, deadline: float
    ) -> pb.ReconstructRequest:
        """The one message of a call.

        Raises:
            ProtomeError: it is not taken in, or is none.
        """
        self._reception.admit(0)
        self._line.check(deadline, call.client)
        raw = await self._uploads.read(context.read)
        if not isinstance(raw, bytes):
            raise InvalidRequest("the call has no message")
        # Before it is parsed, which copies the photo.
        self._reception.admit(len(raw))
        return parsed(pb.ReconstructRequest, raw)
