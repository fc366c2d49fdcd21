"""Trace contexts follow the W3C recommendation; calls have ids."""

from __future__ import annotations

import pytest
from opentelemetry.trace import NoOpTracer, get_current_span

from protome.telemetry.context import request_id
from protome.telemetry.tracing import CallSpan, Tracer, extract

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"
Place = tuple[str, str, int, str]


def place(span: CallSpan) -> Place:
    context = span.span.get_span_context()
    return (span.trace_id, span.span_id, int(context.trace_flags), context.trace_state.to_header())


def parse(parents: list[str], states: list[str] | None = None) -> Place | None:
    """Return the client's place in a trace; None if it sent no valid one."""
    span = get_current_span(extract(parents, states or []))
    return place(CallSpan(NoOpTracer(), span)) if span.get_span_context().is_valid else None


def test_a_valid_parent_is_read_with_its_state() -> None:
    assert parse([VALID], ["a=1", "b=2"]) == (TRACE, SPAN, 1, "a=1,b=2")
    assert parse([VALID]) == (TRACE, SPAN, 1, "")


def test_a_later_version_may_have_more_fields() -> None:
    assert parse([f"cc-{TRACE}-{SPAN}-01-what-comes"]) == (TRACE, SPAN, 1, "")
    assert parse([f"cc-{TRACE}-{SPAN}-01"]) == (TRACE, SPAN, 1, "")


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [VALID, VALID],
        [""],
        ["nonsense"],
        [VALID + "-more"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{TRACE[:-1]}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-0"],
        [f"0-{TRACE}-{SPAN}-01"],
        [f"cc-{TRACE}-{SPAN}-01.more"],
        [VALID + "\n"],
    ],
)
def test_an_invalid_parent_starts_a_new_trace(parents: list[str]) -> None:
    assert parse(parents, ["a=1"]) is None


@pytest.mark.parametrize(
    "state", ["a" * 513, "a=1\nb: 2", "a=\x00", "a=1,\tb=2", "a=\x7f", "a=\xff"]
)
def test_an_unprintable_state_is_dropped_and_the_trace_kept(state: str) -> None:
    assert parse([VALID], [state]) == (TRACE, SPAN, 1, "")


def test_a_call_is_a_new_span_of_its_parents_trace() -> None:
    call = Tracer().begin("call", extract([VALID], ["a=1"]))
    trace_id, span_id, flags, state = place(call)
    assert (trace_id, flags, state) == (TRACE, 1, "a=1")
    assert span_id != SPAN
    assert parse([call.metadata["traceparent"]], ["a=1"]) == place(call)


def test_a_call_without_a_parent_starts_a_trace_that_is_not_sampled() -> None:
    first, second = (Tracer().begin("call", extract([])) for _ in range(2))
    assert first.trace_id != second.trace_id
    assert place(first)[2] == 0
    assert parse([first.metadata["traceparent"]]) == place(first)


def test_a_printable_request_id_is_kept() -> None:
    assert request_id(["order-7/a b"[:9]]) == "order-7/a"
    for bad in ([], [""], ["two words"], ["line\nbreak"], ["x" * 129], ["ä"], ["a", "b"]):
        made = request_id(bad)
        assert made not in bad
        assert len(made) == 32
