"""Spans of calls, photos and stages, recorded with OpenTelemetry (the ``otel`` extra)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry import trace as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
)

from .tracing import SAMPLED, TraceContext


class OtelSpan:
    """A :class:`protome.telemetry.tracing.Span` that is exported."""

    def __init__(self, tracer: otel.Tracer, span: otel.Span, state: str) -> None:
        self._tracer = tracer
        self._span = span
        self._state = state

    @property
    def context(self) -> TraceContext:
        """As :class:`protome.telemetry.tracing.Span`."""
        context = self._span.get_span_context()
        return TraceContext(
            otel.format_trace_id(context.trace_id),
            otel.format_span_id(context.span_id),
            int(context.trace_flags),
            self._state,
        )

    def child(self, name: str) -> OtelSpan:
        """As :class:`protome.telemetry.tracing.Span`."""
        span = self._tracer.start_span(name, context=otel.set_span_in_context(self._span))
        return OtelSpan(self._tracer, span, self._state)

    def stages(self, seconds: Mapping[str, float]) -> None:
        """As :class:`protome.telemetry.tracing.Span`."""
        inside = otel.set_span_in_context(self._span)
        at = time.time_ns() - round(1e9 * sum(seconds.values()))
        for name, duration in seconds.items():
            span = self._tracer.start_span(name, context=inside, start_time=at)
            at += round(1e9 * duration)
            span.end(at)

    def end(self, code: str) -> None:
        """As :class:`protome.telemetry.tracing.Span`."""
        self._span.set_attribute("rpc.response.status_code", code)
        # What the client did wrong is no error of the server's.
        if code in ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN"):
            self._span.set_status(otel.StatusCode.ERROR, code)
        self._span.end()


class OtelTracer:
    """A :class:`protome.telemetry.tracing.Tracer` that exports.

    Args:
        exporter: where to; by default as ``exporter_for`` makes it.
        version: of the server.
    """

    def __init__(self, exporter: SpanExporter, version: str) -> None:
        resource = Resource.create({"service.name": "protome", "service.version": version})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("protome", version)

    def begin(self, name: str, parent: TraceContext | None) -> OtelSpan:
        """As :class:`protome.telemetry.tracing.Tracer`."""
        inside = None
        if parent is not None:
            remote = otel.SpanContext(
                int(parent.trace_id, 16),
                int(parent.span_id, 16),
                is_remote=True,
                trace_flags=otel.TraceFlags(parent.flags & SAMPLED),
            )
            inside = otel.set_span_in_context(otel.NonRecordingSpan(remote))
        span = self._tracer.start_span(
            name, context=inside, kind=otel.SpanKind.SERVER, attributes={"rpc.system.name": "grpc"}
        )
        return OtelSpan(self._tracer, span, parent.state if parent else "")

    def close(self) -> None:
        """As :class:`protome.telemetry.tracing.Tracer`."""
        self._provider.shutdown()


def exporter_for(kind: str) -> SpanExporter:
    """``console`` prints spans, ``otlp`` sends them to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says
    (OTLP over HTTP, with the other variables of the OpenTelemetry specification)."""
    if kind == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
