"""W3C trace context (https://www.w3.org/TR/trace-context/) and the spans of a call.

Without OpenTelemetry (``spans``) a span is only its ids: they go into the logs and back to the
client.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# What may be sent back as metadata.
STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16.
        flags: bit 0: somebody records this trace.
        state: the ``tracestate`` that came along, passed on as it is.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def parent(self) -> str:
        """As the ``traceparent`` of what is called from here."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse(parents: Sequence[str], states: Sequence[str] = ()) -> TraceContext | None:
    """Read the ``traceparent`` and ``tracestate`` metadata of a call; None if there is no valid
    one, which starts a new trace."""
    match = PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    # Later versions may add fields; ff is no version.
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) * int(span_id, 16):
        return None
    state = ",".join(states)
    return TraceContext(trace_id, span_id, int(flags, 16), state if STATE.fullmatch(state) else "")


class Span(Protocol):
    """A piece of work with a place in a trace."""

    @property
    def context(self) -> TraceContext:
        """Its place."""

    def child(self, name: str) -> Span:
        """A part of it that begins now."""

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Parts of it that ran one after the other and ended now."""

    def end(self, code: str) -> None:
        """It is over, with this gRPC status code."""


class Tracer(Protocol):
    """Begins the spans of calls."""

    def begin(self, name: str, parent: TraceContext | None) -> Span:
        """The span of a call that begins now."""

    def close(self) -> None:
        """Export what is left."""


@dataclass(frozen=True, slots=True)
class PlainSpan:
    """A span that nobody records."""

    context: TraceContext

    def child(self, name: str) -> PlainSpan:
        """As :class:`Span`: the same place, as nothing records the part."""
        del name
        return self

    def stages(self, seconds: Mapping[str, float]) -> None:
        """As :class:`Span`."""

    def end(self, code: str) -> None:
        """As :class:`Span`."""


class PlainTracer:
    """Passes trace contexts on and records nothing."""

    def begin(self, name: str, parent: TraceContext | None) -> PlainSpan:
        """As :class:`Tracer`."""
        del name
        here = secrets.token_hex(8)
        if parent is None:
            return PlainSpan(TraceContext(secrets.token_hex(16), here))
        return PlainSpan(TraceContext(parent.trace_id, here, parent.flags, parent.state))

    def close(self) -> None:
        """As :class:`Tracer`."""


def tracer_for(spans: str, version: str) -> Tracer:
    """The tracer of a setting of ``spans``.

    Raises:
        ImportError: OpenTelemetry is not installed.
    """
    if spans == "off":
        return PlainTracer()
    from .spans import OtelTracer, exporter_for

    return OtelTracer(exporter_for(spans), version)
