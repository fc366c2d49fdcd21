"""One photo and what is wanted of it, and what is told of it on its way down the line."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from protome.errors import ProtomeError
from protome.geometry import Box, Level
from protome.image.prepare import Outcome, Photo
from protome.mesh.build import BuiltMesh
from protome.mesh.encode import Encoding
from protome.mesh.simplify import UNLIMITED, MeshBudget
from protome.scheduling.fair_queue import Turn

from .inference import Inferred


@dataclass(slots=True)
class Request:
    """One photo and what is wanted of it.

    Attributes:
        image: the encoded photo; the line takes it out once it is decoded.
        boxes: faces to use instead of detecting them, photo pixels.
        max_faces: at most this many, largest first.
        levels: of each face's meshes, in the order to send them.
        encoding: how meshes are written.
        deadline: on ``time.monotonic``.
        stream: photos of one stream take turns with those of others; None: a stream of its own.
        priority: lower goes first.
        mesh_budget: the most each mesh may have.
    """

    image: bytes
    boxes: Sequence[Box]
    max_faces: int
    levels: Sequence[Level]
    encoding: Encoding
    deadline: float = float("inf")
    stream: Hashable = None
    priority: int = 0
    mesh_budget: MeshBudget = UNLIMITED

    @property
    def turn(self) -> Turn:
        """Its place among others."""
        return Turn(self.stream, self.priority)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an encoded mesh: ``total_size`` in bytes is 0 but on the first."""

    sequence: int
    data: bytes
    last: bool
    total_size: int


@dataclass(frozen=True, slots=True)
class MeshPiece:
    """A chunk of the mesh of a face at a level."""

    face: int
    level: Level
    chunk: Chunk


@dataclass(slots=True)
class FaceReport:
    """What became of a face, and how it got there."""

    face: int
    outcome: Outcome = Outcome.RECONSTRUCTED
    error: ProtomeError | None = None
    inferred: Inferred | None = None
    meshes: list[BuiltMesh] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """Closes a photo; ``seconds`` from the start of the line."""

    photo: Photo
    faces: Sequence[FaceReport]
    seconds: float


Event = Photo | MeshPiece | Report


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
