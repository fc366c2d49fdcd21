"""Tasks and replies between the server and a worker, and what a reply may hold.

Messages are a 4-byte big-endian length and a pickle. A worker parses what strangers send and may be
in their hands: the server makes nothing but plain data of its replies.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import io
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protome.errors import ProtomeError, rebuild

from .mailbox import Parcel

LENGTH: Final = struct.Struct(">I")
REPLY_MODULES: Final = frozenset(
    f"protome.{name}"
    for name in (
        "errors",
        "geometry",
        "image.faces",
        "image.prepare",
        "mesh.build",
        "workers.mailbox",
        "workers.protocol",
    )
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked: the name of a stage, its job, where its inputs lie.

    ``number`` tells it from the worker's other tasks.
    """

    number: int
    name: str
    job: object
    inputs: Sequence[Parcel]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answers: a result with outputs in the mailbox, or an error.

    ``fault`` is the traceback of a defect of ours.
    """

    result: Any = None
    outputs: Sequence[Parcel] = ()
    error: ProtomeError | None = None
    fault: str = ""


def reply_of(message: bytes) -> Reply:
    """The reply that a message is.

    Raises:
        Exception: it is none; of any type, as pickle has it.
    """
    reply = _Unpickler(io.BytesIO(message)).load()
    if not isinstance(reply, Reply) or not isinstance(reply.error, ProtomeError | None):
        raise pickle.UnpicklingError(f"{type(reply)} is no reply")
    return reply


class _Unpickler(pickle.Unpickler):
    """Makes nothing but the plain data that a worker answers with."""

    def find_class(self, module: str, name: str) -> Any:
        """A class of the line, or an error."""
        return _class(module, name)


@functools.cache
def _class(module: str, name: str) -> Any:
    # Pickle takes names with dots for attributes of attributes, which lead anywhere.
    if module in REPLY_MODULES and name.isidentifier():
        found = getattr(importlib.import_module(module), name, None)
        if found is rebuild or _is_plain(found, module):
            return found
    raise pickle.UnpicklingError(f"{module}.{name} is no part of a reply")


def _is_plain(found: object, module: str) -> bool:
    """Whether it is a class that holds data and does nothing."""
    return (
        isinstance(found, type)
        and found.__module__ == module
        and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum | ProtomeError))
    )
