"""What can go wrong with a request. ``status`` says how each looks over gRPC."""

from __future__ import annotations

from collections.abc import Mapping


class ProtomeError(Exception):
    """Base of everything a request can be answered with instead of meshes.

    Args:
        message: for a person.
        facts: for a machine, such as the limit that was passed.
    """

    reason = "INTERNAL"
    retry_seconds: float | None = None

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, str] = {key: str(value) for key, value in facts.items()}

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, dict(self.facts)))


def _rebuild(kind: type[ProtomeError], message: str, facts: dict[str, str]) -> ProtomeError:
    return kind(message, **facts)


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
    """The queue is full."""

    reason = "OVERLOADED"
    retry_seconds = 1.0


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


class Draining(ProtomeError):
    """The server is shutting down; another one will take the request."""

    reason = "DRAINING"
    retry_seconds = 0.5


class Internal(ProtomeError):
    """A defect of ours."""


class NoSurface(ProtomeError):
    """The network saw no head in the crop; an outcome of a face, never of a whole request."""

    reason = "NO_SURFACE"
