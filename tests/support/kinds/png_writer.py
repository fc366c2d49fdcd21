"""Write PNGs of every type, depth and filter: Pillow writes few."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tests.support.hostile_parts import chunk

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
# Adam7: first column and row, steps (PNG, 8.2).
PASSES: Final = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def encoded(
    samples: Sequence[Any] | np.ndarray,
    depth: int,
    colour: int,
    *,
    interlaced: bool = False,
    filter_: int = 0,
    before: bytes = b"",
    behind: bytes = b"",
    pieces: int = 1,
    first: bytes = b"",
) -> bytes:
    """A PNG of samples (h, w, channels) at a depth in bits.

    Args:
        samples: as they are stored.
        depth: 1 to 16.
        colour: type, a key of ``CHANNELS``.
        interlaced: Adam7.
        filter_: of every row, 0 to 4, for samples of 8 bits; 5: one after the other.
        before: chunks before the pixels.
        behind: chunks behind them.
        pieces: chunks that the pixels are cut into.
        first: chunks before the header.
    """
    values = np.asarray(samples).reshape(*np.shape(samples)[:2], CHANNELS[colour])
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        _rows(values[y::dy, x::dx], depth, filter_)
        for x, y, dx, dy in passes
        if values[y::dy, x::dx].size
    )
    packed = zlib.compress(rows, 1)
    size = -(-len(packed) // pieces)
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    pixels = b"".join(chunk(b"IDAT", part) for part in parts)
    return MAGIC + first + chunk(b"IHDR", header) + before + pixels + behind + chunk(b"IEND")


def _rows(values: np.ndarray, depth: int, filter_: int) -> bytes:
    height, _, channels = values.shape
    if depth == 16:
        rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = values.astype(np.uint8).reshape(height, -1)
    else:
        bits = values.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    out, above = [], np.zeros_like(rows[0])
    for number, row in enumerate(rows):
        kind = number % 5 if filter_ == 5 else filter_
        out.append(bytes((kind,)) + _filtered(row, above, kind, channels * max(depth // 8, 1)))
        above = row
    return b"".join(out)


def _filtered(row: np.ndarray, above: np.ndarray, kind: int, pixel: int) -> bytes:
    """A row after a filter (PNG, 9.2)."""
    now, up = row.astype(int), above.astype(int)
    left, corner = (np.concatenate([np.zeros(pixel, int), line[:-pixel]]) for line in (now, up))
    guess = left + up - corner
    away = np.abs(guess - left), np.abs(guess - up), np.abs(guess - corner)
    paeth = np.where(
        (away[0] <= away[1]) & (away[0] <= away[2]), left, np.where(away[1] <= away[2], up, corner)
    )
    guesses = 0, left, up, (left + up) // 2, paeth
    return bytes(((now - guesses[kind]) % 256).astype(np.uint8))
