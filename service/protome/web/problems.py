"""Map errors to HTTP statuses and problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import grpc

from protome import errors
from protome.errors import ProtomeError
from protome.server.calls import status

PROBLEM: Final = "application/problem+json"
# The mapping of google.rpc.Code, but 408 for the unregistered 499.
STATUSES: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.CANCELLED: 408,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# Errors for which HTTP has a more exact status than for their gRPC code.
EXACT: Final[Mapping[type[ProtomeError], int]] = {
    errors.ImageTooLarge: 413,
    errors.UnsupportedFormat: 415,
    # The photo was read and shows no face; 404 would be a wrong URL.
    errors.NoFaceFound: 422,
    # The server is at its limit, not the client.
    errors.Overloaded: 503,
}


def http_status(error: ProtomeError | type[ProtomeError]) -> int:
    """Return the HTTP status of an error."""
    kind = error if isinstance(error, type) else type(error)
    return EXACT.get(kind) or STATUSES[status.CODES[kind]]


def describe(error: ProtomeError) -> dict[str, Any]:
    """Return the problem details of an error: standard members, reason, metadata, retry_after."""
    found: dict[str, Any] = {
        "type": f"/docs/#{error.reason}",
        "title": title(type(error)),
        "status": http_status(error),
        "detail": error.message,
        "reason": error.reason,
        "metadata": dict(error.facts),
    }
    if error.retry_seconds is not None:
        found["retry_after"] = round(error.retry_seconds, 3)
    return found


def title(kind: type[ProtomeError]) -> str:
    """Return what a kind of error means, in one line."""
    return (kind.__doc__ or "").partition("\n")[0].rstrip(".")


def problem(error: ProtomeError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of the response for an error."""
    headers = [("content-type", PROBLEM)]
    if error.retry_seconds is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_seconds))))
    if isinstance(error, errors.Unauthenticated):
        headers.append(("www-authenticate", "Bearer"))
    return http_status(error), headers, json.dumps(describe(error)).encode()


def plain_problem(code: int, detail: str = "", **members: str) -> bytes:
    """Return the body for a failure that is none of our errors, such as an unknown URL."""
    phrase = HTTPStatus(code).phrase
    found = {"title": phrase, "status": code, "detail": detail or phrase, **members}
    return json.dumps(found).encode()
