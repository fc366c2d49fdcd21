"""Collect what a listener beside gRPC needs of the server."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from protome.config import Config
from protome.errors import Unauthenticated
from protome.server.access.tls import Certificates
from protome.server.access.tokens import Tokens
from protome.server.calls.photo_call import PhotoCalls
from protome.server.calls.uploads import Uploads
from protome.telemetry.context import Call
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import Tracer
from protome.v1 import reconstruction_pb2 as pb


@dataclass(frozen=True, slots=True)
class Backend:
    """The parts of one server that all its listeners share.

    Attributes:
        config: the settings.
        photos: admits and reconstructs photos.
        uploads: places to receive a photo.
        tokens: None admits calls without a token.
        tracer: starts the spans of calls.
        metrics: counts refused calls.
        info: the response of GetServerInfo.
        certificates: for TLS; None means plain text.
    """

    config: Config
    photos: PhotoCalls
    uploads: Uploads
    tokens: Tokens | None
    tracer: Tracer
    metrics: Metrics
    info: pb.GetServerInfoResponse
    certificates: Certificates | None

    def authenticated(self, call: Call, authorization: Sequence[str]) -> Call:
        """Return the call with its tenant.

        Args:
            call: the call.
            authorization: all values of the key ``authorization`` that the client sent.

        Raises:
            Unauthenticated: the server asks for tokens, and the call has no known one.
        """
        if self.tokens is None:
            return call
        check = functools.partial(self.tokens.check, authorization)
        try:
            return replace(call, tenant=check(), recheck=check)
        except Unauthenticated:
            self.metrics.unauthenticated()
            raise


class Listener(Protocol):
    """A port of the server beside gRPC.

    Attributes:
        port: the port in use.
    """

    port: int

    async def stop(self, seconds: float) -> None:
        """Accept no more connections, and let requests in flight finish within ``seconds``."""


OpenListener = Callable[[Backend], Awaitable[Listener]]
