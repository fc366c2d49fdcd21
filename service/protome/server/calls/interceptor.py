"""Give every call its ids, and check its token, before its message is read."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from protome.errors import Unauthenticated
from protome.server.access.tokens import Tokens
from protome.telemetry.context import CURRENT, Call, request_id
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import Tracer, extract

from . import status

# Probes and load balancers have no token, and the health service tells nothing else.
WITHOUT_TOKEN: Final = "/grpc.health.v1.Health/"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # Not at run time.
    """Set the current call of each method, or refuse it.

    Args:
        traced: paths of the methods whose calls have spans.
        tracer: starts the spans.
        tokens: None admits calls without a token.
        metrics: counts refused calls.
    """

    def __init__(
        self, traced: Collection[str], tracer: Tracer, tokens: Tokens | None, metrics: Metrics
    ) -> None:
        self._traced = traced
        self._tracer = tracer
        self._tokens = tokens
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the handler of a call, or one that refuses it as unauthenticated."""
        method: str = handler_call_details.method
        if method.startswith(WITHOUT_TOKEN):
            return _parsing(await continuation(handler_call_details))
        given = _metadata(handler_call_details)
        parent = extract(given("traceparent"), given("tracestate"))
        tracer = self._tracer if method in self._traced else Tracer()
        call = Call(request_id(given("x-request-id")), tracer.begin(method[1:], parent))
        if self._tokens is not None:
            check = functools.partial(self._tokens.check, given("authorization"))
            try:
                call = replace(call, tenant=check(), recheck=check)
            except Unauthenticated as error:
                self._metrics.unauthenticated()
                call.span.end(status.code(error).name)
                return _refusal(error, call)
        CURRENT.set(call)
        return _parsing(await continuation(handler_call_details))


def _metadata(details: grpc.HandlerCallDetails) -> Callable[[str], Sequence[str]]:
    """Return a function that returns all values of a key in a call's metadata."""
    metadata = details.invocation_metadata or ()

    def values(wanted: str) -> Sequence[str]:
        return [value for key, value in metadata if key == wanted and isinstance(value, str)]

    return values


def _parsing(handler: Any) -> Any:
    """Make a handler answer unparsable messages with INVALID_ARGUMENT.

    gRPC itself would answer UNKNOWN and log a traceback. Handlers without a deserializer, such as
    those of our own service, parse messages themselves.
    """
    if handler is None or handler.request_deserializer is None:
        return handler

    async def parse_or_abort(raw: bytes, context: Any) -> Any:
        try:
            return handler.request_deserializer(raw)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be parsed")

    async def unary(raw: bytes, context: Any) -> Any:
        inner = handler.unary_stream if handler.response_streaming else handler.unary_unary
        return await inner(await parse_or_abort(raw, context), context)

    async def stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        messages = (await parse_or_abort(raw, context) async for raw in requests)
        async for response in handler.stream_stream(messages, context):
            yield response

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)
    make = grpc.unary_unary_rpc_method_handler
    if handler.response_streaming:
        make = grpc.unary_stream_rpc_method_handler
    return make(unary, None, handler.response_serializer)


def _refusal(error: Unauthenticated, call: Call) -> grpc.RpcMethodHandler[Any, Any]:
    trailers = (*status.trailers(error), *call.metadata)

    async def refuse(requests: Any, context: Any) -> None:
        del requests
        await context.abort(status.code(error), error.message, trailers)

    # A handler with streamed requests fits every kind of method and reads no message.
    return grpc.stream_stream_rpc_method_handler(refuse)
