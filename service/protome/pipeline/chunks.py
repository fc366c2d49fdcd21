"""encoded mesh → chunks: few large pieces for the stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an encoded mesh: ``total_size`` in bytes is 0 but on the first."""

    sequence: int
    data: bytes
    last: bool
    total_size: int


def split(data: bytes, size: int) -> Iterator[Chunk]:
    """Cut ``data`` into chunks of ``size`` bytes; the last may be shorter, none is empty."""
    if size < 1:
        raise ValueError("size must be at least 1")
    starts = range(0, len(data), size)
    for sequence, start in enumerate(starts):
        yield Chunk(
            sequence,
            data[start : start + size],
            start + size >= len(data),
            len(data) if start == 0 else 0,
        )
