"""One photo and what is wanted of it, and what is told of it on its way down the line."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from protome.confidence import Expectation
from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import Box, CropRule, Frame, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import Outcome, Photo, PhotoJob
from protome.mesh.build import BuiltMesh, MeshJob
from protome.mesh.encode import Compression, Encoding, Format
from protome.mesh.mesh import Appearance
from protome.mesh.simplify import UNLIMITED, MeshBudget
from protome.scheduling.fair_queue import Turn

from .inference import Inferred

PLAIN_GLB: Final = Encoding(Format.GLB, Compression.NONE, Appearance.NONE)


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
    boxes: Sequence[Box] = ()
    max_faces: int = 16
    levels: Sequence[Level] = (Level.STANDARD,)
    encoding: Encoding = PLAIN_GLB
    deadline: float = float("inf")
    stream: Hashable = None
    priority: int = 0
    mesh_budget: MeshBudget = UNLIMITED

    @property
    def turn(self) -> Turn:
        """Its place among others."""
        return Turn(self.stream, self.priority)

    def photo_job(self, config: Config, rule: CropRule) -> PhotoJob:
        """Return the job that decodes the photo and cuts out its faces by the model's rule."""
        return PhotoJob(
            boxes=self.boxes,
            max_faces=self.max_faces,
            min_face_pixels=config.min_face_pixels,
            min_score=config.min_score,
            limits=ImageLimits.of(config),
            rule=rule,
            textured=self.encoding.textured,
        )

    def mesh_job(self, level: Level, frame: Frame, expected: Expectation | None) -> MeshJob:
        """Return the job that builds a face's mesh.

        Args:
            level: level of detail.
            frame: the part of the face's crop that the photo covers.
            expected: errors that the model expects; used only if vertex quality is wanted.
        """
        wanted = expected if self.encoding.vertex_quality else None
        return MeshJob(level, self.encoding, frame, self.mesh_budget, wanted)


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
