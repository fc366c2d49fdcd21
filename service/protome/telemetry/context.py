"""The call that code runs for: who makes it, and under which ids."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from .tracing import PlainTracer, Span

# What may stand in a log without being taken for something else.
REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class Tenant(Hashable, Protocol):
    """A client that is known by its token."""

    name: str

    def photo(self) -> AbstractContextManager[None]:
        """Count a photo while the block lasts."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call, or a photo of a stream of them.

    Attributes:
        request_id: the client's ``x-request-id``, or one of ours.
        span: its place in a trace.
        client: None where no tokens are asked for.
        photo: the id within its stream, empty outside of streams.
        recheck: raises what ends the call, if its token is not known any more.
    """

    request_id: str
    span: Span = field(default_factory=lambda: PlainTracer().begin("", None))
    client: Tenant | None = None
    photo: str = ""
    recheck: Callable[[], object] = lambda: None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the client is told of it."""
        context = self.span.context
        told = (("x-request-id", self.request_id), ("traceparent", context.parent))
        return (*told, ("tracestate", context.state)) if context.state else told


CURRENT: Final[ContextVar[Call | None]] = ContextVar("call", default=None)


@contextmanager
def running(call: Call) -> Iterator[Call]:
    """Code in the block, and tasks it starts, run for ``call``."""
    before = CURRENT.set(call)
    try:
        yield call
    finally:
        CURRENT.reset(before)


def request_id(given: Sequence[str]) -> str:
    """The client's id if it sent one that can be used, or a new one."""
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return secrets.token_hex(16)


def stages(seconds: Mapping[str, float]) -> None:
    """Stages of the current call that ran one after the other and ended now."""
    call = CURRENT.get()
    if call is not None:
        call.span.stages(seconds)
