"""The gRPC methods of ``protome.v1.ReconstructionService``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import grpc

from protome.config import Config
from protome.errors import InvalidRequest, Overloaded, ProtomeError
from protome.telemetry.context import Call
from protome.v1 import reconstruction_pb2 as pb

from .parse_request import parse_message
from .photo_call import PhotoCalls
from .photo_stream import PhotoStream
from .respond import LOST_MESSAGE_SECONDS, Context, deadline_of, respond
from .uploads import Uploads

_CONTRACT: Final = pb.DESCRIPTOR.services_by_name["ReconstructionService"]
SERVICE: Final = _CONTRACT.full_name
METHODS: Final = frozenset(f"/{SERVICE}/{method.name}" for method in _CONTRACT.methods)


class PhotoService:
    """Serve ``protome.v1.ReconstructionService``.

    Args:
        config: the settings.
        photos: reconstructs the photos.
        info: the response of GetServerInfo.
        uploads: places to receive a photo.
    """

    def __init__(
        self,
        config: Config,
        photos: PhotoCalls,
        info: pb.GetServerInfoResponse,
        uploads: Uploads,
    ) -> None:
        self._config = config
        self._photos = photos
        self._info = info
        self._uploads = uploads
        self._streams = 0

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the methods for a gRPC server.

        Reconstruct is declared with a stream of requests, which is the same on the wire: so gRPC
        reads its message only when the server asks for it. The methods parse their messages
        themselves, so that invalid ones end with an error of this service.
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
        """Reconstruct one photo; see the contract."""
        del requests
        with self._photos.working():
            async with respond(context) as (call, write):
                # First of all: gRPC computes it from the wall clock, which may jump.
                deadline = deadline_of(context)
                try:
                    message = await self._receive(context, call, deadline)
                except ProtomeError as error:
                    self._photos.refused("grpc", "Reconstruct", error)
                    raise
                except asyncio.CancelledError:
                    self._photos.incomplete("Reconstruct", deadline)
                    raise
                await self._photos.reconstruct("Reconstruct", call, message, deadline, write)

    async def ReconstructMany(self, requests: object, context: Context) -> None:
        """Reconstruct the photos of a stream; see the contract."""
        del requests
        async with respond(context) as (call, write):
            stream = PhotoStream(self._config, self._photos, context, call, write)
            try:
                with self._counted_stream():
                    await stream.serve()
            except (InvalidRequest, Overloaded) as error:
                self._photos.refused("grpc", "ReconstructMany", error)
                raise
            except asyncio.CancelledError:
                self._photos.incomplete("ReconstructMany", stream.deadline)
                raise

    async def GetServerInfo(self, request: bytes, context: Context) -> pb.GetServerInfoResponse:
        """Describe this server; see the contract."""
        async with respond(context):
            parse_message(pb.GetServerInfoRequest, request)
            return self._info

    @contextlib.contextmanager
    def _counted_stream(self) -> Iterator[None]:
        """Count an open stream.

        Raises:
            Overloaded: too many are open.
        """
        limit = self._config.max_streams
        if self._streams >= limit:
            raise Overloaded(f"{self._streams} streams are open", max_streams=limit)
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _receive(
        self, context: Context, call: Call, deadline: float
    ) -> pb.ReconstructRequest:
        """Receive the message of a call.

        Raises:
            ProtomeError: the server has no room for it, or too little time, or it cannot be parsed.
        """
        self._photos.check(deadline, call.tenant)
        raw = await self._uploads.read(context.read)
        if not isinstance(raw, bytes):
            await asyncio.sleep(LOST_MESSAGE_SECONDS)
            raise InvalidRequest("the call has no message")
        # Before parsing, which copies the photo.
        self._photos.admit(len(raw))
        return parse_message(pb.ReconstructRequest, raw)
