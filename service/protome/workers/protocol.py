"""Messages between the server and a worker process.

A message is a 4-byte big-endian length and a body. Bodies are MessagePack, decoded as plain data of
the expected types only: a worker parses untrusted pictures and may be compromised.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np

from protome import errors
from protome.errors import ProtomeError
from protome.image.prepare import PhotoJob, PreparedPhoto
from protome.mesh.build import BuiltMesh, MeshJob

from .mailbox import Parcel

LENGTH: Final = struct.Struct(">I")
ERRORS: Final[Mapping[str, type[ProtomeError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ProtomeError)
}

J = TypeVar("J")
R = TypeVar("R")


class Task(msgspec.Struct, Generic[J], frozen=True):
    """A task for a worker.

    Attributes:
        number: tells it from the worker's other tasks.
        name: stage to run.
        job: argument of the stage.
        inputs: where its input arrays lie in the mailbox.
    """

    number: int
    name: str
    job: J
    inputs: Sequence[Parcel]

    def encode(self) -> bytes:
        """Return the body of the message."""
        return _ENCODER.encode(self)


def _plain(array: object) -> object:
    """Convert the float32 arrays of a job to what MessagePack has."""
    if not isinstance(array, np.ndarray):
        raise NotImplementedError(f"a {type(array).__name__} in a task")
    return array.tolist()


def _array(kind: type, values: object) -> object:
    del kind
    return np.asarray(values, np.float32)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_TASKS: Final = msgspec.msgpack.Decoder(Task[msgspec.Raw])
_JOBS: Final[Mapping[str, msgspec.msgpack.Decoder[Any]]] = {
    "prepare": msgspec.msgpack.Decoder(PhotoJob, dec_hook=_array),
    "build": msgspec.msgpack.Decoder(MeshJob, dec_hook=_array),
}


def decode_task(message: bytes) -> Task[msgspec.Raw]:
    """Decode a task, but not its job."""
    task: Task[msgspec.Raw] = _TASKS.decode(message)
    return task


def decode_job(task: Task[msgspec.Raw]) -> Any:
    """Decode the job of a task.

    Raises:
        KeyError: there is no such stage.
    """
    return _JOBS[task.name].decode(task.job)


class TaskError(msgspec.Struct, frozen=True):
    """A :class:`ProtomeError` as plain data; ``kind`` is the name of its class."""

    kind: str
    message: str
    retry_seconds: float | None
    facts: dict[str, str]

    @classmethod
    def of(cls, error: ProtomeError) -> TaskError:
        """Take the data of an error."""
        facts = {name: _text(value) for name, value in error.facts.items()}
        return cls(type(error).__name__, _text(error.message), error.retry_seconds, facts)

    def error(self) -> ProtomeError:
        """Return the error.

        Raises:
            KeyError, TypeError: the data are not those of an error.
        """
        return ERRORS[self.kind](self.message, retry_seconds=self.retry_seconds, **self.facts)


class Reply(msgspec.Struct, Generic[R], frozen=True):
    """A worker's answer to a task: a result, an error or a fault; none of them once it is ready.

    Attributes:
        result: what the stage found.
        outputs: where its output arrays lie in the mailbox.
        error: why the photo or face cannot be used.
        fault: traceback of an unexpected exception.
    """

    result: R | None = None
    outputs: tuple[Parcel, ...] = ()
    error: TaskError | None = None
    fault: str = ""

    def encode(self) -> bytes:
        """Return the body of the message."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def of_fault(cls, text: str) -> Reply[R]:
        """Report a traceback."""
        return cls(fault=_text(text))


READY: Final = "ready"
_DECODERS: Final[Mapping[str, msgspec.msgpack.Decoder[Any]]] = {
    "prepare": msgspec.msgpack.Decoder(Reply[PreparedPhoto]),
    "build": msgspec.msgpack.Decoder(Reply[BuiltMesh]),
}
_WITHOUT_RESULT: Final = msgspec.msgpack.Decoder(Reply[None])


def decode_reply(task: str, message: bytes) -> Reply[Any]:
    """Decode the reply to a task, or the first message of a worker (``READY``).

    Raises:
        ValueError: the message is not a reply to such a task.
    """
    reply: Reply[Any] = _DECODERS.get(task, _WITHOUT_RESULT).decode(message)
    if task != READY and reply.result is None and reply.error is None and not reply.fault:
        raise ValueError("the reply is empty")
    return reply


def _text(value: str) -> str:
    """Replace lone surrogates, which decoders may quote from a picture and UTF-8 cannot hold."""
    return value.encode(errors="replace").decode()
