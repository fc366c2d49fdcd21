"""What happens to every call first: it gets its ids, and its token is checked."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from protome.errors import Unauthenticated
from protome.telemetry.context import CURRENT, Call, request_id
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import PlainTracer, Tracer, parse

from . import status
from .tokens import Tokens

# Probes and load balancers have no token; health says nothing else.
OPEN: Final = "/grpc.health.v1.Health/"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # Not at run time.
    """Lets calls in.

    Args:
        traced: paths of the methods whose calls have spans.
        tracer: begins them.
        tokens: None lets everybody in.
        metrics: counts who is turned away.
    """

    def __init__(
        self, *, traced: Collection[str], tracer: Tracer, tokens: Tokens | None, metrics: Metrics
    ) -> None:
        self._traced = traced
        self._tracer = tracer
        self._tokens = tokens
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Give the call its ids; turn it away before its message is read if its token is wrong."""
        method: str = handler_call_details.method
        if method.startswith(OPEN):
            return _reading(await continuation(handler_call_details))
        given = _values(handler_call_details)
        parent = parse(given("traceparent"), given("tracestate"))
        tracer = self._tracer if method in self._traced else PlainTracer()
        call = Call(request_id(given("x-request-id")), tracer.begin(method[1:], parent))
        if self._tokens is not None:
            check = functools.partial(self._tokens.check, given("authorization"))
            try:
                call = replace(call, client=check(), recheck=check)
            except Unauthenticated as error:
                self._metrics.unauthenticated()
                call.span.end(status.code(error).name)
                return _refusal(error, call)
        CURRENT.set(call)
        return _reading(await continuation(handler_call_details))


def _values(details: grpc.HandlerCallDetails) -> Callable[[str], Sequence[str]]:
    """All values of a key in a call's metadata."""
    metadata = details.invocation_metadata or ()

    def values(wanted: str) -> Sequence[str]:
        return [value for key, value in metadata if key == wanted and isinstance(value, str)]

    return values


def _reading(handler: Any) -> Any:
    """The same, but bytes that are no message are INVALID_ARGUMENT: by itself gRPC makes them
    UNKNOWN, and logs a traceback. Our own service, which has no deserializer, parses itself."""
    if handler is None or handler.request_deserializer is None:
        return handler

    async def read(raw: bytes, context: Any) -> Any:
        try:
            return handler.request_deserializer(raw)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")

    async def one(raw: bytes, context: Any) -> Any:
        inner = handler.unary_stream if handler.response_streaming else handler.unary_unary
        return await inner(await read(raw, context), context)

    async def many(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        messages = (await read(raw, context) async for raw in requests)
        async for answer in handler.stream_stream(messages, context):
            yield answer

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(many, None, handler.response_serializer)
    make = grpc.unary_unary_rpc_method_handler
    if handler.response_streaming:
        make = grpc.unary_stream_rpc_method_handler
    return make(one, None, handler.response_serializer)


def _refusal(error: Unauthenticated, call: Call) -> grpc.RpcMethodHandler[Any, Any]:
    trailers = (*status.trailers(error), *call.metadata)

    async def refuse(requests: Any, context: Any) -> None:
        del requests
        await context.abort(status.code(error), error.message, trailers)

    # As if requests were streamed: those of any kind fit, and none is read.
    return grpc.stream_stream_rpc_method_handler(refuse)
