"""Begin the call of an HTTP request: its ids and its span."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers

from protome.server.backend import Backend
from protome.telemetry.context import Call, request_id
from protome.telemetry.tracing import extract

# As metrics and logs name it.
PROTOCOL: Final = "http"


def begin_call(backend: Backend, headers: Headers, name: str) -> Call:
    """Return a new call with the ids that the client sent, or with random ones."""
    parent = extract(headers.getlist("traceparent"), headers.getlist("tracestate"))
    method, _, path = name.partition(" ")
    span = backend.tracer.begin(name, parent, {"http.request.method": method, "http.route": path})
    return Call(request_id(headers.getlist("x-request-id")), span, protocol=PROTOCOL)
