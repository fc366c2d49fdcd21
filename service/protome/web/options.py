"""Read the options of a photo from the query of its URL; they are those of the contract."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from protome.errors import InvalidRequest
from protome.v1 import reconstruction_pb2 as pb

# The fields of the contract that are options of the query: all but the photo itself.
FIELDS: Final[Mapping[str, FieldDescriptor]] = {
    field.name: field
    for field in pb.ReconstructRequest.DESCRIPTOR.fields
    if field.type != FieldDescriptor.TYPE_BYTES
}
# Time limit in seconds; a gRPC call has a deadline instead.
TIMEOUT: Final = "timeout"
# As in the clients: a photo usually comes with the wish to see its colours.
DEFAULTS: Final = {"appearance": "texture"}
BOX_FIELDS: Final = tuple(field.name for field in pb.BoundingBox.DESCRIPTOR.fields)
MAX_UINT32: Final = (1 << 32) - 1
# Characters of a client's text in an error.
SHOWN: Final = 80
BOOLEANS: Final = {"": True, "1": True, "true": True, "0": False, "false": False}


def read_options(query: Iterable[tuple[str, str]]) -> tuple[pb.ReconstructRequest, float]:
    """Convert the parameters of a query.

    Returns:
        The request, without its photo, and the time limit in seconds, infinity without one.

    Raises:
        InvalidRequest: a parameter is unknown or its value is invalid.
    """
    given: dict[str, list[str]] = {name: [value] for name, value in DEFAULTS.items()}
    seen = set()
    for name, value in query:
        if name not in FIELDS and name != TIMEOUT:
            shown = name[:SHOWN]
            raise InvalidRequest(f"unknown option {shown!r}{_suggestion(name)}", field=shown)
        if name in seen and not _repeated(name):
            raise InvalidRequest(f"{name} is given more than once", field=name)
        given[name] = [*given[name], value] if name in seen else [value]
        seen.add(name)
    seconds = [_timeout(value) for value in given.pop(TIMEOUT, ())] or [math.inf]
    return pb.ReconstructRequest(**{n: _value(FIELDS[n], v) for n, v in given.items()}), seconds[0]


def short_names(enum: EnumDescriptor) -> Mapping[str, int]:
    """Return the numbers of the values of an enum by short name: ``fine`` of DETAIL_LEVEL_FINE."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        value.name.removeprefix(prefix).lower(): value.number
        for value in enum.values
        if value.number
    }


def _repeated(name: str) -> bool:
    return name in FIELDS and FIELDS[name].is_repeated


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, [*FIELDS, TIMEOUT], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _wrong(name: str, text: str, wanted: str) -> InvalidRequest:
    """Return the error for the value of an option, with as much of it as fits into a line."""
    shown = text[:SHOWN]
    return InvalidRequest(f"{name} is {shown!r}, not {wanted}", field=name, value=shown)


def _timeout(text: str) -> float:
    seconds = _number(TIMEOUT, text)
    if not 0 < seconds < math.inf:
        raise _wrong(TIMEOUT, text, "above 0")
    return seconds


def _value(field: FieldDescriptor, texts: Sequence[str]) -> Any:
    if not field.is_repeated:
        return _single(field)(field.name, texts[0])
    if field.message_type is not None:
        return [_box(field.name, text) for text in texts]
    read = _single(field)
    return [read(field.name, part) for text in texts for part in text.split(",")]


def _single(field: FieldDescriptor) -> Callable[[str, str], Any]:
    """Return the function that reads one value of a field."""
    if field.enum_type is not None:
        enum = field.enum_type
        return lambda name, text: _enum(name, text, enum)
    readers = {
        FieldDescriptor.CPPTYPE_BOOL: _boolean,
        FieldDescriptor.CPPTYPE_UINT32: _count,
        FieldDescriptor.CPPTYPE_FLOAT: _number,
        FieldDescriptor.CPPTYPE_DOUBLE: _number,
    }
    return readers[field.cpp_type]


def _enum(name: str, text: str, enum: EnumDescriptor) -> int:
    names = short_names(enum)
    full = enum.values_by_name.get(text)
    number = names.get(text.lower()) or (full.number if full else 0)
    if not number:
        raise _wrong(name, text, f"one of {', '.join(names)}")
    return number


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise _wrong(name, text, "true or false")
    return BOOLEANS[text.lower()]


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_UINT32):
        raise _wrong(name, text, "a whole number")
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong(name, text, "a number") from None


def _box(name: str, text: str) -> pb.BoundingBox:
    parts = text.split(",")
    if len(parts) != len(BOX_FIELDS):
        raise _wrong(name, text, ",".join(BOX_FIELDS))
    return pb.BoundingBox(**{f: _number(name, p) for f, p in zip(BOX_FIELDS, parts, strict=True)})
