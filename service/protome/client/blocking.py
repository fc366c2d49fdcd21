"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self, Unpack

import grpc

from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

from .answers import Assembler, Reconstruction, ReconstructionError, finished, translate
from .connection import OPTIONS, metadata
from .exchange import Attempts
from .requests import Options, make_request


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
            self.channel = grpc.insecure_channel(address, options=OPTIONS)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=OPTIONS)
        self.stub = pb_grpc.ReconstructionServiceStub(self.channel)
        self.timeout = timeout
        self._metadata = metadata(token)

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
        request, attempts = make_request(image, **options), Attempts(timeout or self.timeout)
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
