"""Memory shared between the server and one worker, for photos, crops, heads and meshes.

A mailbox belongs to one worker, which runs one task at a time, so its memory needs no allocator and
no lock. It is anonymous memory (memfd on Linux): nothing is left behind however a process ends.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protome.errors import Internal
from protome.geometry import U8

ALIGN: Final = 64
NUMBER: Final = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Parcel:
    """Position of a uint8 array in a mailbox: ``offset`` in bytes, and ``shape``."""

    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """Offset after its last byte."""
        return self.offset + self.size


class Mailbox:
    """A block of shared memory, followed by the number of the task that the worker has taken.

    Args:
        fd: file descriptor of the memory; another process opens the same block with it.
        size: bytes, without the number.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._memory = mmap.mmap(fd, size + NUMBER.size)

    @classmethod
    def create(cls, size: int) -> Mailbox:
        """Create a block of ``size`` bytes; pages take up memory only once they are used."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("protome-mailbox")
        else:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        try:
            os.ftruncate(fd, size + NUMBER.size)
            return cls(fd, size)
        except BaseException:
            os.close(fd)
            raise

    @property
    def taken(self) -> int:
        """Number of the task that the worker has taken; 0 if none."""
        number: int = NUMBER.unpack_from(self._memory, self.size)[0]
        return number

    @taken.setter
    def taken(self, number: int) -> None:
        NUMBER.pack_into(self._memory, self.size, number)

    def put(self, arrays: Sequence[U8 | bytes | memoryview], start: int = 0) -> list[Parcel]:
        """Copy arrays into the mailbox.

        Args:
            arrays: uint8 arrays or bytes.
            start: offset of the first in bytes; the others follow.

        Returns:
            Where each array lies.

        Raises:
            Internal: they do not fit.
        """
        placed: list[tuple[Parcel, U8]] = []
        offset = start
        for array in arrays:
            values = np.frombuffer(array, np.uint8) if not isinstance(array, np.ndarray) else array
            offset = -(-offset // ALIGN) * ALIGN
            parcel = Parcel(offset, values.shape)
            if parcel.end > self.size:
                raise Internal("the mailbox is too small", need=parcel.end, size=self.size)
            placed.append((parcel, values))
            offset = parcel.end
        for parcel, values in placed:
            if parcel.size:
                self.look(parcel)[...] = values
        return [parcel for parcel, _ in placed]

    def look(self, parcel: Parcel) -> U8:
        """Return a view of an array; valid until the mailbox is used again.

        Raises:
            ValueError: it does not lie within the mailbox.
        """
        if min(parcel.offset, *parcel.shape, 0) < 0 or parcel.end > self.size:
            raise ValueError(f"{parcel} does not lie within {self.size} bytes")
        flat = np.frombuffer(self._memory, np.uint8, parcel.size, parcel.offset)
        return flat.reshape(parcel.shape)

    def wipe(self, parcels: Sequence[Parcel]) -> None:
        """Overwrite arrays with zeros, so that no pictures of people stay in memory."""
        for parcel in parcels:
            self.look(parcel)[...] = 0

    def close(self) -> None:
        """Free the memory once the last view of it is gone."""
        os.close(self.fd)
        # Views that still exist keep the memory until they are gone.
        with contextlib.suppress(BufferError):
            self._memory.close()
