"""Convert between the enums of the contract and their short names.

The short name of ``DETAIL_LEVEL_FINE`` is ``FINE``: the name without the prefix of its enum.
"""

from __future__ import annotations

from typing import Any

from .suggest import did_you_mean


def short_name(enum: Any, value: int) -> str:
    """Return the short name of a value of a protobuf enum, such as ``pb.DetailLevel``.

    A value that only newer servers know is its number.
    """
    if value not in enum.values():
        return str(value)
    name: str = enum.Name(value)
    return name.removeprefix(_prefix(enum))


def value_of(enum: Any, name: str) -> Any:
    """Return the value of a protobuf enum by its short name, in any case.

    Raises:
        ValueError: the enum has no such value; the message lists those it has.
    """
    # The first value means that none was given.
    names = [key.removeprefix(_prefix(enum)).lower() for key in enum.keys()[1:]]
    if name.lower() not in names:
        raise ValueError(f"{name!r} is not one of {', '.join(names)}{did_you_mean(name, names)}")
    return enum.Value(_prefix(enum) + name.upper())


def _prefix(enum: Any) -> str:
    name: str = enum.Name(0)
    return name.removesuffix("UNSPECIFIED")
