"""Spans, as an exporter gets them."""

from __future__ import annotations

import time

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from protome.telemetry.spans import OtelTracer
from protome.telemetry.tracing import SAMPLED, TraceContext

PARENT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "a=1")


def test_a_call_its_photo_and_stages_are_one_tree() -> None:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, "1.2.3")
    call = tracer.begin("Service/Method", PARENT)
    photo = call.child("photo")
    time.sleep(0.05)
    photo.stages({"decode": 0.02, "detect": 0.03})
    photo.end("OK")
    call.end("INTERNAL")
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"decode", "detect", "photo", "Service/Method"}
    root, middle = spans["Service/Method"], spans["photo"]
    parents = {name: span.parent.span_id if span.parent else 0 for name, span in spans.items()}
    assert f"{parents['Service/Method']:016x}" == PARENT.span_id
    assert parents["photo"] == root.context.span_id
    assert parents["decode"] == parents["detect"] == middle.context.span_id
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {PARENT.trace_id}
    # One after the other, the last one ending now.
    decode, detect = spans["decode"], spans["detect"]
    assert decode.end_time == detect.start_time
    assert decode.start_time
    assert decode.end_time
    assert abs(decode.end_time - decode.start_time - 20_000_000) < 1000
    assert middle.start_time
    assert middle.start_time <= decode.start_time
    assert root.kind is SpanKind.SERVER
    assert root.status.status_code is StatusCode.ERROR
    assert middle.status.status_code is StatusCode.UNSET
    assert root.resource.attributes["service.version"] == "1.2.3"


def test_the_client_is_told_the_span_that_is_recorded() -> None:
    tracer = OtelTracer(InMemorySpanExporter(), "1")
    context = tracer.begin("a", PARENT).context
    assert (context.trace_id, context.flags, context.state) == (PARENT.trace_id, 1, "a=1")
    assert context.span_id != PARENT.span_id
    assert tracer.begin("a", None).context.flags & SAMPLED
    tracer.close()


def test_a_trace_that_is_not_recorded_upstream_is_not_recorded_here() -> None:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer(exporter, "1")
    tracer.begin("a", TraceContext(PARENT.trace_id, PARENT.span_id, 0)).end("OK")
    tracer.close()
    assert exporter.get_finished_spans() == ()
