"""A request for one photo, and the events that answer it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import Box, CropRule, Frame, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import Outcome, PhotoJob, PreparedPhoto
from protome.mesh.build import BuiltMesh, MeshJob
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.mesh.shape.simplify import UNLIMITED, MeshBudget
from protome.scheduling.fair_queue import Turn

from .assess import Assessment
from .inference import Inferred

PLAIN_GLB: Final = Encoding(Format.GLB, Compression.NONE, Appearance.NONE)


@dataclass(slots=True)
class Request:
    """A photo and the meshes wanted of it.

    Attributes:
        image: the encoded photo; the pipeline empties it to free the memory early.
        boxes: faces to use instead of detecting them, photo pixels.
        max_faces: most faces to reconstruct, largest first.
        levels: levels of detail of each face's meshes, in the order to send them.
        encoding: format, compression and appearance of the meshes.
        deadline: on ``time.monotonic``.
        stream: photos of one stream take turns with those of others; None: a stream of its own.
        priority: lower goes first.
        mesh_budget: upper limits of each mesh.
        front: whether the meshes are turned so that the head looks straight into the camera.
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
    front: bool = False

    def turn(self, rank: int = 0) -> Turn:
        """Return its place in a queue; see :class:`protome.workers.pool.Rank`."""
        return Turn(self.stream, self.priority, rank)

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
            max_texture_side=self.encoding.max_texture_side,
        )

    def mesh_job(self, level: Level, frame: Frame, about: Assessment | None = None) -> MeshJob:
        """Return the job that builds a face's mesh.

        Args:
            level: level of detail.
            frame: the part of the face's crop that the photo covers.
            about: what is known about the face; None: nothing.
        """
        if about is None:
            return MeshJob(level, self.encoding, frame, self.mesh_budget)
        expected = about.expected if self.encoding.vertex_quality else None
        return MeshJob(
            level, self.encoding, frame, self.mesh_budget, expected, about.facts(), about.turn
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an encoded mesh.

    Attributes:
        sequence: number of the chunk, from 0.
        data: its bytes.
        last: whether it is the last of the mesh.
        total_size: bytes of the whole mesh on the first chunk, 0 on the others.
    """

    sequence: int
    data: bytes
    last: bool
    total_size: int


@dataclass(frozen=True, slots=True)
class MeshPiece:
    """A chunk of the mesh of a face at a level of detail."""

    face: int
    level: Level
    chunk: Chunk


@dataclass(slots=True)
class FaceReport:
    """What became of a face, and facts of its stages."""

    face: int
    outcome: Outcome = Outcome.RECONSTRUCTED
    error: ProtomeError | None = None
    inferred: Inferred | None = None
    about: Assessment | None = None
    meshes: list[BuiltMesh] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """The last event of a photo; ``seconds`` is the time since the pipeline began with it."""

    photo: PreparedPhoto
    faces: Sequence[FaceReport]
    seconds: float


Event = PreparedPhoto | MeshPiece | Report


def split(data: bytes, size: int) -> Iterator[Chunk]:
    """Cut a mesh into chunks.

    Args:
        data: the encoded mesh.
        size: bytes of each chunk but the last, which may be shorter; none is empty.
    """
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
