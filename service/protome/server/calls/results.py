"""Tell how a photo ended: its status as it is counted, and a line in the log."""

from __future__ import annotations

import logging
import time
from typing import Final

import grpc

from protome.errors import ProtomeError

log = logging.getLogger(__name__)

# gRPC may end a call this long before its deadline has passed on our clock.
CLOCK_SLACK_SECONDS: Final = 0.05
# Statuses whose cause is the server, not the client.
SERVER_FAULTS: Final = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
)


def status_to_count(code: grpc.StatusCode, deadline: float) -> grpc.StatusCode:
    """Return ``code``, but DEADLINE_EXCEEDED for a call that gRPC cancelled at its deadline."""
    cancelled = code is grpc.StatusCode.CANCELLED
    late = time.monotonic() >= deadline - CLOCK_SLACK_SECONDS
    return grpc.StatusCode.DEADLINE_EXCEEDED if cancelled and late else code


def log_result(
    protocol: str,
    method: str,
    code: grpc.StatusCode,
    problem: ProtomeError | None,
    seconds: float | None = None,
    faces: int | None = None,
) -> None:
    """Log how a photo ended: one line, with the facts of the error if there is one."""
    if not log.isEnabledFor(logging.INFO):
        return
    extra: dict[str, object] = {"protocol": protocol, "method": method, "code": code.name}
    text = f"{method} {code.name}"
    if problem is not None:
        extra["reason"] = problem.reason
        text += f" {problem.reason}"
        # The message of a client's fault may quote the picture, so it is left out.
        if code in SERVER_FAULTS:
            text += f": {problem.message}"
        if problem.facts:
            extra["facts"] = problem.facts
            pairs = ", ".join(f"{key} {value}" for key, value in problem.facts.items())
            text += f" ({ascii(pairs)[1:-1]})"
    elif seconds is not None:
        text += f" in {seconds:.3f} s"
    if faces is not None:
        extra["faces"] = faces
        text += f", {faces} face{'s' * (faces != 1)}"
    if seconds is not None:
        extra["seconds"] = round(seconds, 4)
    log.info("%s", text, extra=extra)
