"""Ways to damage a picture file."""

from __future__ import annotations

import random
from collections.abc import Callable

Mangle = Callable[[random.Random, bytes], bytes]


def _truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _flip_bits(chance: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 5, 50))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _damage_header(chance: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        damaged[chance.randrange(min(64, len(damaged)))] = chance.randrange(256)
    return bytes(damaged)


def _swap_blocks(chance: random.Random, data: bytes) -> bytes:
    a, b, c = sorted(chance.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _blot(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    length = min(chance.choice((16, 256, 4096)), len(data) - start)
    return data[:start] + bytes([chance.choice((0, 255))]) * length + data[start + length :]


KINDS: dict[str, Mangle] = {
    "truncated": _truncate,
    "bits flipped": _flip_bits,
    "header damaged": _damage_header,
    "blocks swapped": _swap_blocks,
    "blotted": _blot,
}
