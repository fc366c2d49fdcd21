"""Call a server, blocking until the response is complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self, Unpack

import grpc

from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

from .answers import Reconstruction
from .connection import Connection
from .errors import ReconstructionError, error_from_call
from .exchange import Exchange
from .requests import Options, Photo, make_request


class Client(Connection):
    """A blocking client; threads may share it.

    Args:
        address: ``host:port``; calls are spread over all addresses that the name resolves to.
        credentials: for TLS, as from :func:`tls`; None connects in plain text.
        token: bearer token, for servers that ask for one.
        timeout: default time limit of a photo, seconds; None: no limit.
    """

    channel: grpc.Channel
    stub: pb_grpc.ReconstructionServiceStub
    _api = grpc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def server_info(self) -> pb.GetServerInfoResponse:
        """Ask the server for its version, network and limits.

        Raises:
            ReconstructionError: the call failed.
        """
        try:
            return self.stub.GetServerInfo(pb.GetServerInfoRequest(), **self._call_options())
        except grpc.RpcError as error:
            raise error_from_call(error) from None

    def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> Iterator[pb.ReconstructResponse]:
        """Yield the messages of a response as they arrive.

        Raises:
            ReconstructionError: the call failed.
        """
        try:
            yield from self.stub.Reconstruct(request, **self._call_options(timeout))
        except grpc.RpcError as error:
            raise error_from_call(error) from None

    def reconstruct(
        self, image: Photo, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Reconstruction:
        """Reconstruct the faces of one photo.

        A call whose connection breaks during the response is retried once.

        Args:
            image: the bytes of a JPEG, PNG, WebP, HEIC or AVIF file, or its path.
            timeout: time limit, seconds; None: the client's.
            options: see :class:`Options`.

        Raises:
            TypeError, ValueError, OSError: see :func:`make_request`.
            NoFaceFound: the photo shows no face.
            ReconstructionError: the server failed or refused.
            CorruptAnswer: the response is damaged or incomplete.
        """
        exchange = Exchange(make_request(image, **options), timeout or self.timeout)
        while True:
            try:
                for event in self.events(exchange.request, exchange.timeout):
                    exchange.feed(event)
                return exchange.result()
            except ReconstructionError as error:
                exchange.retry(error)
