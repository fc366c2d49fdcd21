"""Map errors to gRPC statuses.

The details follow google.rpc (https://google.aip.dev/193): an ErrorInfo with a machine-readable
reason and metadata, and a RetryInfo if a retry makes sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from protome import errors
from protome.errors import ProtomeError
from protome.v1 import STATUS_DETAILS_KEY
from protome.v1 import reconstruction_pb2 as pb

DOMAIN: Final = "protome"
# Clients retry CANCELLED, with which gRPC ends calls when a server stops. This tells them not to.
NO_RETRY: Final = ("grpc-retry-pushback-ms", "-1")

CODES: Final[Mapping[type[ProtomeError], grpc.StatusCode]] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedFormat: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BrokenImage: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ImageTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NoFaceFound: grpc.StatusCode.NOT_FOUND,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.OverQuota: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ClientGone: grpc.StatusCode.CANCELLED,
    errors.WorkerDied: grpc.StatusCode.UNAVAILABLE,
    errors.WorkerHung: grpc.StatusCode.INTERNAL,
    errors.WorkerMemory: grpc.StatusCode.INTERNAL,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.NoSurface: grpc.StatusCode.INTERNAL,
    errors.Internal: grpc.StatusCode.INTERNAL,
}


def code(error: ProtomeError) -> grpc.StatusCode:
    """Return the gRPC status code of an error."""
    return CODES[type(error)]


def trailers(error: ProtomeError) -> tuple[tuple[str, str | bytes], ...]:
    """Return trailing metadata with the google.rpc.Status of an error."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts)
    details = [_pack(info)]
    if error.retry_seconds is not None:
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=_delay(error))))
    status = status_pb2.Status(code=code(error).value[0], message=error.message, details=details)
    trailer = (STATUS_DETAILS_KEY, status.SerializeToString())
    return (trailer, NO_RETRY) if isinstance(error, errors.ClientGone) else (trailer,)


def as_message(error: ProtomeError) -> pb.Error:
    """Return an error as an event of a ReconstructMany stream."""
    delay = None if error.retry_seconds is None else _delay(error)
    return pb.Error(
        code=code(error).value[0],
        reason=error.reason,
        message=error.message,
        metadata=error.facts,
        retry_delay=delay,
    )


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _delay(error: ProtomeError) -> duration_pb2.Duration:
    seconds = error.retry_seconds or 0.0
    return duration_pb2.Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))
