"""What can go wrong with a request. ``status`` says how each looks over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Least and most that a client is told to wait before it asks again, seconds.
RETRY_RANGE: Final = (0.1, 30.0)


class ProtomeError(Exception):
    """Base of everything a request can be answered with instead of meshes.

    Args:
        message: for a person.
        retry_seconds: when asking again makes sense, if it is not always the same for its kind.
        facts: for a machine, such as the limit that was passed.

    Attributes:
        retry_seconds: when asking again makes sense, or None.
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
    """The bytes are not a JPEG, PNG or WebP picture."""

    reason = "UNSUPPORTED_FORMAT"


class BrokenImage(ProtomeError):
    """The header is that of a picture but the rest cannot be decoded."""

    reason = "BROKEN_IMAGE"


class ImageTooLarge(ProtomeError):
    """More bytes or pixels than the server takes."""

    reason = "IMAGE_TOO_LARGE"


class NoFaceFound(ProtomeError):
    """The picture is fine but shows no face."""

    reason = "NO_FACE_FOUND"


class Overloaded(ProtomeError):
    """The server has too much to do, for anyone or for this request's deadline.

    Args:
        message, facts: as :class:`ProtomeError`.
        retry_seconds: when there will be room, as far as that is known.
    """

    reason = "OVERLOADED"
    retry_seconds = 1.0

    def __init__(
        self, message: str, *, retry_seconds: float | None = None, **facts: object
    ) -> None:
        wanted = 1.0 if retry_seconds is None else retry_seconds
        within = min(max(wanted, RETRY_RANGE[0]), RETRY_RANGE[1])
        super().__init__(message, retry_seconds=within, **facts)


class Unauthenticated(ProtomeError):
    """The server asks for a token, and the call has none that it knows."""

    reason = "UNAUTHENTICATED"


class OverQuota(ProtomeError):
    """The client of this token has sent more than it may."""

    reason = "QUOTA_EXCEEDED"


class DeadlinePassed(ProtomeError):
    """The client's deadline passed before the work was done."""

    reason = "DEADLINE_PASSED"


class ClientGone(ProtomeError):
    """The client hung up; nobody will read the answer."""

    reason = "CLIENT_GONE"


class WorkerDied(ProtomeError):
    """The worker process died under this request; the pool replaces it."""

    reason = "WORKER_DIED"
    retry_seconds: float | None = 0.5


class WorkerHung(WorkerDied):
    """The task took longer than a task may; asked again, it most likely would again."""

    reason = "WORKER_HUNG"
    retry_seconds = None


class WorkerMemory(ProtomeError):
    """The task needs more memory than a worker may take; asked again, it would again."""

    reason = "WORKER_OUT_OF_MEMORY"


class Draining(ProtomeError):
    """The server is shutting down; another one will take the request."""

    reason = "DRAINING"
    retry_seconds = 0.5


class Internal(ProtomeError):
    """A defect of ours."""


class NoSurface(ProtomeError):
    """The network saw no head in the crop; an outcome of a face, never of a whole request."""

    reason = "NO_SURFACE"
