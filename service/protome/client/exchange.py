"""Retry a call and assemble its response, without I/O: for both clients."""

from __future__ import annotations

import time

import grpc

from protome.v1 import reconstruction_pb2 as pb

from .answers import Assembler, Reconstruction
from .errors import ReconstructionError

MAX_RETRIES = 1


class Exchange:
    """A request and its response; retried once if the connection breaks during the response.

    gRPC itself retries only while nothing of the response has arrived.

    Args:
        request: the request, the same for each attempt.
        seconds: time limit over all attempts; None: no limit.
    """

    def __init__(self, request: pb.ReconstructRequest, seconds: float | None) -> None:
        self.request = request
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._retries = 0
        self._assembler = Assembler()

    @property
    def timeout(self) -> float | None:
        """Seconds left for the next attempt."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 1e-3)

    def feed(self, event: pb.ReconstructResponse) -> None:
        """Take the next message of the response.

        Raises:
            CorruptAnswer: messages are missing or a digest is wrong.
        """
        self._assembler.feed(event)

    def retry(self, error: ReconstructionError) -> None:
        """Prepare for another attempt.

        Raises:
            ReconstructionError: ``error``, if a retry makes no sense.
        """
        # The server gives a reason for its own failures, which a retry would not change.
        broken = error.code is grpc.StatusCode.UNAVAILABLE and not error.reason
        begun = error.begun or self._assembler.result is not None
        if not broken or not begun or self._retries == MAX_RETRIES:
            raise error
        self._retries += 1
        self._assembler = Assembler()

    def result(self) -> Reconstruction:
        """Return the complete response.

        Raises:
            CorruptAnswer: it is incomplete.
        """
        return self._assembler.complete()
