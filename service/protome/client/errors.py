"""Turn failed calls into exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from protome.v1 import STATUS_DETAILS_KEY
from protome.v1 import reconstruction_pb2 as pb

# grpc.aio reports this, and loses the status, if a call ends while it sends a message.
_STATUS_LOST: Final = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class ReconstructionError(Exception):
    """The call failed.

    Attributes:
        code: gRPC status code.
        reason: machine-readable, such as ``BROKEN_IMAGE``; empty if gRPC itself failed.
        facts: details, such as the limit that was exceeded.
        retry_seconds: when to retry; None if a retry makes no sense.
        begun: whether the response had begun, so that gRPC did not retry by itself.
    """

    begun = False

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.facts = dict(facts or {})
        self.retry_seconds = retry_seconds


class NoFaceFound(ReconstructionError):
    """The photo is valid but shows no face."""


class CorruptAnswer(Exception):
    """The response is damaged or incomplete."""


def error_from_call(error: grpc.RpcError) -> ReconstructionError:
    """Read the google.rpc details of a failed call."""
    call: Any = error
    reason, facts, retry = "", {}, None
    for key, value in call.trailing_metadata() or ():
        if key != STATUS_DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, again = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason, facts = info.reason, dict(info.metadata)
            elif detail.Unpack(again):
                retry = again.retry_delay.ToTimedelta().total_seconds()
    code, message = call.code(), call.details() or ""
    if (code, message) == _STATUS_LOST:
        code, message = grpc.StatusCode.UNAVAILABLE, "the call ended while photos were being sent"
    failure = _error(code, message, reason, facts, retry)
    # The server sends metadata before its first message.
    failure.begun = bool(call.initial_metadata())
    return failure


def error_from_message(error: pb.Error) -> ReconstructionError:
    """Read the error of one photo of a ReconstructMany stream."""
    code = next(c for c in grpc.StatusCode if c.value[0] == error.code)
    retry = None
    if error.HasField("retry_delay"):
        retry = error.retry_delay.ToTimedelta().total_seconds()
    return _error(code, error.message, error.reason, error.metadata, retry)


def _error(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    facts: Mapping[str, str],
    retry: float | None,
) -> ReconstructionError:
    kind = NoFaceFound if reason == "NO_FACE_FOUND" else ReconstructionError
    return kind(code, message, reason, facts, retry)
