"""Trace calls with OpenTelemetry; trace contexts travel as W3C metadata of the calls.

Without an exporter a span is only its ids: they go into the logs and back to the client.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

W3C: Final = TraceContextTextMapPropagator()
GRPC_ATTRIBUTES: Final[Mapping[str, str]] = {"rpc.system.name": "grpc"}
# Codes of failures whose cause is the server.
ERROR_CODES: Final = ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN")
CLOSE_SECONDS: Final = 1.0


def extract(parents: Sequence[str], states: Sequence[str] = ()) -> Context:
    """Read the ``traceparent`` and ``tracestate`` metadata of a call.

    Returns:
        The context with the client's span; an empty one, which starts a new trace, if there is not
        exactly one valid ``traceparent``.
    """
    if len(parents) != 1 or not parents[0].isprintable():
        return Context()
    printable = "".join(states).isprintable()
    return W3C.extract({"traceparent": list(parents), "tracestate": [*states] if printable else []})


@dataclass(frozen=True, slots=True)
class CallSpan:
    """The span of a call or of a part of it.

    Attributes:
        tracer: starts the spans of its parts.
        span: the OpenTelemetry span.
    """

    tracer: trace.Tracer
    span: trace.Span

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return trace.format_trace_id(self.span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return trace.format_span_id(self.span.get_span_context().span_id)

    @property
    def metadata(self) -> Mapping[str, str]:
        """``traceparent`` and, if there is one, ``tracestate``."""
        carrier: dict[str, str] = {}
        W3C.inject(carrier, trace.set_span_in_context(self.span))
        return carrier

    def child(self, name: str) -> CallSpan:
        """Start the span of a part; without an exporter it is the same span."""
        context = trace.set_span_in_context(self.span)
        return CallSpan(self.tracer, self.tracer.start_span(name, context))

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Add spans for parts that ran one after the other until now, by name and duration."""
        if not self.span.is_recording():
            return
        context = trace.set_span_in_context(self.span)
        at = time.time_ns() - round(1e9 * sum(seconds.values()))
        for name, duration in seconds.items():
            span = self.tracer.start_span(name, context, start_time=at)
            at += round(1e9 * duration)
            span.end(at)

    def end(self, code: str) -> None:
        """End the span with the name of a gRPC status code."""
        self.span.set_attribute("rpc.response.status_code", code)
        if code in ERROR_CODES:
            self.span.set_status(trace.StatusCode.ERROR, code)
        self.span.end()


class Tracer:
    """Start the spans of calls.

    Args:
        exporter: receives the spans; None only passes trace contexts on.
        version: of the server.
    """

    def __init__(self, exporter: SpanExporter | None = None, version: str = "") -> None:
        self._provider = None
        self._tracer: trace.Tracer = trace.NoOpTracer()
        if exporter is not None:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            resource = Resource.create({"service.name": "protome", "service.version": version})
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer("protome", version)

    def begin(
        self, name: str, parent: Context, attributes: Mapping[str, str] = GRPC_ATTRIBUTES
    ) -> CallSpan:
        """Start the span of a call; ``parent`` as from :func:`extract`."""
        if self._provider is None:
            return CallSpan(self._tracer, _span_without_exporter(parent))
        span = self._tracer.start_span(
            name, parent, kind=trace.SpanKind.SERVER, attributes=attributes
        )
        return CallSpan(self._tracer, span)

    def close(self) -> None:
        """Export the remaining spans, but drop those that take over CLOSE_SECONDS."""
        if self._provider is not None:
            # The exporter has no time limit: it waits for a dead collector and tries again.
            thread = threading.Thread(target=self._provider.shutdown, daemon=True)
            thread.start()
            thread.join(CLOSE_SECONDS)


def _span_without_exporter(parent: Context) -> trace.Span:
    """Create a span of the parent's trace, or of a new one, that is only its ids."""
    above = trace.get_current_span(parent).get_span_context()
    context = trace.SpanContext(
        trace_id=above.trace_id or secrets.randbits(128),
        span_id=secrets.randbits(64),
        is_remote=False,
        trace_flags=above.trace_flags,
        trace_state=above.trace_state,
    )
    return trace.NonRecordingSpan(context)


def tracer_for(spans: str, version: str) -> Tracer:
    """Create the tracer for a value of the setting ``spans``.

    ``console`` prints spans; ``otlp`` sends them over HTTP to ``OTEL_EXPORTER_OTLP_ENDPOINT``, with
    the other variables of the OpenTelemetry specification.

    Raises:
        ImportError: the exporter is not installed (extra ``otel``).
    """
    if spans == "off":
        return Tracer()
    if spans == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return Tracer(ConsoleSpanExporter(), version)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return Tracer(OTLPSpanExporter(), version)
