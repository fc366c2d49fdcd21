"""Ask once more for an answer that breaks off."""

from __future__ import annotations

import time

import grpc

from .answers import Assembler, ReconstructionError


class Attempts:
    """An answer that breaks off with its connection is asked for once more.

    gRPC itself asks again only while nothing of the answer has come.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._left = 1

    @property
    def timeout(self) -> float | None:
        """Seconds that are left for the next attempt."""
        return None if self._until is None else max(self._until - time.monotonic(), 1e-3)

    def again(self, error: ReconstructionError, assembler: Assembler) -> bool:
        """Whether to try once more. A server that gives a reason would have it again."""
        broken = error.code is grpc.StatusCode.UNAVAILABLE and not error.reason
        begun = error.begun or assembler.result is not None
        self._left -= 1
        return broken and begun and self._left >= 0
