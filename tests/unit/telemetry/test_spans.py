"""Spans arrive at an exporter as one tree."""

from __future__ import annotations

import socket
import time

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from protome.telemetry.tracing import CLOSE_SECONDS, Tracer, extract

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = extract([f"00-{TRACE}-{SPAN}-01"], ["a=1"])


def test_a_call_its_photo_and_stages_are_one_tree() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter, "1.2.3")
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
    assert f"{parents['Service/Method']:016x}" == SPAN
    assert parents["photo"] == root.context.span_id
    assert parents["decode"] == parents["detect"] == middle.context.span_id
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
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


def test_the_client_gets_the_ids_of_the_recorded_span() -> None:
    tracer = Tracer(InMemorySpanExporter(), "1")
    span = tracer.begin("a", PARENT)
    metadata = span.metadata
    assert metadata["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
    assert metadata["tracestate"] == "a=1"
    assert span.span_id != SPAN
    assert tracer.begin("a", extract([])).span.get_span_context().trace_flags & 1
    tracer.close()


def test_a_trace_that_is_not_recorded_upstream_is_not_recorded_here() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter, "1")
    tracer.begin("a", extract([f"00-{TRACE}-{SPAN}-00"])).end("OK")
    tracer.close()
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("collector", ["gone", "silent"])
def test_a_dead_collector_delays_the_end_by_a_second_at_most(collector: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if collector == "silent":
            listener.listen()
        port = listener.getsockname()[1]
        tracer = Tracer(OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces"), "1")
        tracer.begin("a", PARENT).end("OK")
        began = time.monotonic()
        tracer.close()
        assert time.monotonic() - began < CLOSE_SECONDS + 5
