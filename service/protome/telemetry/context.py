"""Keep the current call: its client and its ids."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from .tracing import CallSpan, Tracer, extract

# Printable ASCII without spaces is safe in logs and metadata.
REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class Tenant(Hashable, Protocol):
    """A client that is known by its token; see ``protome.server.access.tokens.Tenant``."""

    name: str

    def admit_photo(self) -> AbstractContextManager[None]:
        """Count a photo as in progress while the block lasts."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call, or one photo of a stream.

    Attributes:
        request_id: the client's ``x-request-id``, or a random one.
        span: its span of a trace.
        tenant: the client whose token the call has; None if the server asks for no tokens.
        photo: id of the photo within its stream; empty outside of streams.
        recheck: raises Unauthenticated if the token has become unknown.
        protocol: how the client calls: ``grpc`` or ``http``.
    """

    request_id: str
    span: CallSpan = field(default_factory=lambda: Tracer().begin("", extract([])))
    tenant: Tenant | None = None
    photo: str = ""
    recheck: Callable[[], object] = lambda: None
    protocol: str = "grpc"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata that is sent to the client: the ids."""
        return (("x-request-id", self.request_id), *self.span.metadata.items())


CURRENT: Final[ContextVar[Call | None]] = ContextVar("call", default=None)


@contextmanager
def running(call: Call) -> Iterator[Call]:
    """Make ``call`` the current call of the block and of the tasks that it starts."""
    before = CURRENT.set(call)
    try:
        yield call
    finally:
        CURRENT.reset(before)


def request_id(given: Sequence[str]) -> str:
    """Return the client's request id if it sent a valid one, or a random one."""
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return secrets.token_hex(16)


def record_stages(seconds: Mapping[str, float]) -> None:
    """Add spans to the current call for stages that ran one after the other until now.

    Args:
        seconds: duration of each stage by its name, in order.
    """
    call = CURRENT.get()
    if call is not None:
        call.span.stages(seconds)
