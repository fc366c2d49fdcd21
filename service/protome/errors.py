"""Define the errors of a request; ``server.status`` maps them to gRPC statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Limits of the time that a client is asked to wait before a retry, seconds.
RETRY_SECONDS_RANGE: Final = (0.1, 30.0)


class ProtomeError(Exception):
    """Base of all errors that end a request.

    Args:
        message: an explanation for people.
        retry_seconds: when a retry makes sense; None: the default of the class.
        facts: details for programs, such as the limit that was exceeded.

    Attributes:
        reason: machine-readable name of the error.
        retry_seconds: when a retry makes sense; None: never.
    """

    reason = "INTERNAL"
    retry_seconds: float | None = None

    def __init__(
        self, message: str, *, retry_seconds: float | None = None, **facts: object
    ) -> None:
        super().__init__(message)
        self.message = message
        if retry_seconds is not None:
            self.retry_seconds = retry_seconds
        self.facts: Mapping[str, str] = {key: str(value) for key, value in facts.items()}


class InvalidRequest(ProtomeError):
    """A field is out of its range."""

    reason = "INVALID_REQUEST"


class UnsupportedFormat(ProtomeError):
    """The bytes are not a picture in a supported format, or its decoder is not installed."""

    reason = "UNSUPPORTED_FORMAT"


class BrokenImage(ProtomeError):
    """The file has the header of a picture but cannot be decoded."""

    reason = "BROKEN_IMAGE"


class ImageTooLarge(ProtomeError):
    """The photo has more bytes or pixels than the server accepts."""

    reason = "IMAGE_TOO_LARGE"


class NoFaceFound(ProtomeError):
    """The photo is valid but shows no face."""

    reason = "NO_FACE_FOUND"


class Overloaded(ProtomeError):
    """The server is overloaded, or cannot meet the deadline of this request.

    Args:
        message, facts: as :class:`ProtomeError`.
        retry_seconds: when there will be room; None: unknown.
    """

    reason = "OVERLOADED"
    retry_seconds = 1.0

    def __init__(
        self, message: str, *, retry_seconds: float | None = None, **facts: object
    ) -> None:
        wanted = 1.0 if retry_seconds is None else retry_seconds
        within = min(max(wanted, RETRY_SECONDS_RANGE[0]), RETRY_SECONDS_RANGE[1])
        super().__init__(message, retry_seconds=within, **facts)


class Unauthenticated(ProtomeError):
    """The call has no valid token, and the server requires one."""

    reason = "UNAUTHENTICATED"


class OverQuota(ProtomeError):
    """The client has used up the quota of its token."""

    reason = "QUOTA_EXCEEDED"


class DeadlinePassed(ProtomeError):
    """The client's deadline passed before the work was done."""

    reason = "DEADLINE_PASSED"


class ClientGone(ProtomeError):
    """The client cancelled the call, or no longer sends or reads."""

    reason = "CLIENT_GONE"


class WorkerDied(ProtomeError):
    """The worker process died during this request; the pool replaces it."""

    reason = "WORKER_DIED"
    retry_seconds: float | None = 0.5


class WorkerHung(WorkerDied):
    """The task exceeded its time limit; a retry most likely would too."""

    reason = "WORKER_HUNG"
    retry_seconds = None


class WorkerMemory(ProtomeError):
    """The task exceeded the memory limit of a worker; a retry would too."""

    reason = "WORKER_OUT_OF_MEMORY"


class Draining(ProtomeError):
    """The server is shutting down; another server can take the request."""

    reason = "DRAINING"
    retry_seconds = 0.5


class Internal(ProtomeError):
    """A bug in the server; its log has the details."""


class NoSurface(ProtomeError):
    """The network found no head in the crop; the outcome of one face, never of a request."""

    reason = "NO_SURFACE"
