"""Shared memory between the server and one worker: crops, volumes and meshes go through here.

A mailbox belongs to one worker, which works on one task at a time, so its memory needs no
allocator and no lock. It is anonymous memory (memfd on Linux): nothing is left behind anywhere,
however a process ends.
"""

from __future__ import annotations

import contextlib
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
    """Where an array of bytes lies in a mailbox, and its shape."""

    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        size = 1
        for side in self.shape:
            size *= side
        return size

    @property
    def end(self) -> int:
        """Offset behind its last byte."""
        return self.offset + self.size


class Mailbox:
    """A block of shared memory; ``fd`` opens the same block in another process.

    Behind its ``size`` bytes lies the number of the task that the worker is at.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._memory = mmap.mmap(fd, size + NUMBER.size)

    @classmethod
    def create(cls, size: int) -> Mailbox:
        """A new block of ``size`` bytes; pages take up memory only once they are used."""
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
        """Number of the task that the worker took; one that dies before has not touched it."""
        number: int = NUMBER.unpack_from(self._memory, self.size)[0]
        return number

    @taken.setter
    def taken(self, number: int) -> None:
        NUMBER.pack_into(self._memory, self.size, number)

    def put(self, arrays: Sequence[U8 | bytes | memoryview], start: int = 0) -> list[Parcel]:
        """Copy arrays in, one behind the other from ``start`` on.

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
        """The array in place; valid until the mailbox is used again.

        Raises:
            ValueError: it does not lie within the mailbox.
        """
        if min(parcel.offset, *parcel.shape, 0) < 0 or parcel.end > self.size:
            raise ValueError(f"{parcel} does not lie within {self.size} bytes")
        flat = np.frombuffer(self._memory, np.uint8, parcel.size, parcel.offset)
        return flat.reshape(parcel.shape)

    def wipe(self, parcels: Sequence[Parcel]) -> None:
        """Zero what lies there: pictures of people do not linger."""
        for parcel in parcels:
            self.look(parcel)[...] = 0

    def close(self) -> None:
        """Give the memory back once the last view of it is gone."""
        os.close(self.fd)
        # Views of it that are still around keep it until they are gone.
        with contextlib.suppress(BufferError):
            self._memory.close()
