"""Assemble the messages of a response."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from protome.v1 import reconstruction_pb2 as pb

from .enums import short_name
from .errors import CorruptAnswer

#: The rows of a 4x4 matrix; ``numpy.array`` takes them.
Matrix: TypeAlias = tuple[tuple[float, float, float, float], ...]


class Landmark(NamedTuple):
    """A point in photo pixels: x right, y down, z towards the camera."""

    x: float
    y: float
    z: float


class Pose(NamedTuple):
    """Head pose, degrees; signs and order of the rotations as in protome.v1.Pose."""

    yaw: float
    pitch: float
    roll: float


@dataclass(slots=True, repr=False)
class Face:
    """A face of the photo.

    Attributes:
        index: number of the face in the photo, largest face first.
        box: (x, y, width, height) in photo pixels.
        score: confidence of the detector, 0 to 1.
        outcome: RECONSTRUCTED, or why there is no mesh, as in protome.v1.FaceOutcome.
        message: an explanation of the outcome for people.
        mesh_to_photo: (4, 4) matrix from mesh metres to photo pixels; None if left out. The meshes
            of STL files are in millimetres.
        mesh: the mesh file; empty if there is none.
        preview: the PREVIEW mesh, if one was asked for.
        confidence: probability that the mesh fits, see protome.v1.FaceSummary; None if unknown.
        concerns: reasons to doubt the mesh, names as in protome.v1.Concern.
        landmarks: the 68 landmarks of the iBUG 300-W annotation; empty if unknown.
        pose: head pose; None if unknown.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    outcome: str
    message: str = ""
    mesh_to_photo: Matrix | None = None
    mesh: bytes = b""
    preview: bytes = b""
    confidence: float | None = None
    concerns: tuple[str, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    pose: Pose | None = None

    @property
    def reliable(self) -> bool:
        """Whether there is a mesh and no reason to doubt it."""
        return bool(self.mesh) and not self.concerns

    def __repr__(self) -> str:
        x, y, width, height = self.box
        parts = [self.outcome, f"{width:.0f} x {height:.0f} px at ({x:.0f}, {y:.0f})"]
        if self.confidence is not None:
            parts.append(f"confidence {self.confidence:.2f}")
        parts += [*self.concerns, f"mesh of {len(self.mesh)} bytes"]
        return f"<Face {self.index}: {', '.join(parts)}>"


@dataclass(slots=True, repr=False)
class Reconstruction:
    """The response for one photo; ``header`` and ``summary`` are messages of the contract."""

    header: pb.Header
    faces: list[Face]
    summary: pb.Summary = field(default_factory=pb.Summary)

    def __repr__(self) -> str:
        size = f"{self.header.photo_width} x {self.header.photo_height} px"
        return f"<Reconstruction of {size}: {self.faces}>"


class Assembler:
    """Assemble the messages of one response; custom clients can use it too.

    Attributes:
        result: what has arrived so far; None before the header.
        done: whether the response is complete.
    """

    def __init__(self) -> None:
        self.result: Reconstruction | None = None
        self.done = False
        self._parts: dict[tuple[int, int], bytearray] = {}

    def feed(self, event: pb.ReconstructResponse | pb.ReconstructManyResponse) -> None:
        """Take the next message.

        Raises:
            CorruptAnswer: messages are missing or a digest is wrong.
        """
        if event.HasField("header"):
            faces = [_face(face) for face in event.header.faces]
            self.result = Reconstruction(event.header, faces)
        elif event.HasField("chunk"):
            chunk = event.chunk
            part = self._parts.setdefault((chunk.face_index, chunk.detail), bytearray())
            part += chunk.data
        elif event.HasField("summary"):
            self._close(event.summary)

    def complete(self) -> Reconstruction:
        """Return the complete response.

        Raises:
            CorruptAnswer: it is incomplete.
        """
        if not self.done or self.result is None:
            raise CorruptAnswer("the response ended before its summary")
        return self.result

    def _close(self, summary: pb.Summary) -> None:
        if self.result is None:
            raise CorruptAnswer("a summary came before the header")
        self.result.summary = summary
        for report in summary.faces:
            face = self.result.faces[report.face_index]
            face.outcome = short_name(pb.FaceOutcome, report.outcome)
            face.message = report.message
            face.confidence = report.confidence if report.HasField("confidence") else None
            face.concerns = tuple(short_name(pb.Concern, value) for value in report.concerns)
            face.landmarks = tuple(
                Landmark(point.x, point.y, point.z) for point in report.landmarks
            )
            if report.HasField("pose"):
                pose = report.pose
                face.pose = Pose(pose.yaw_degrees, pose.pitch_degrees, pose.roll_degrees)
            if report.mesh_to_photo:
                face.mesh_to_photo = _matrix(report.mesh_to_photo)
            for mesh in report.meshes:
                data = bytes(self._parts.get((report.face_index, mesh.detail), b""))
                if hashlib.sha256(data).digest() != mesh.sha256:
                    raise CorruptAnswer(f"the mesh of face {face.index} has a wrong digest")
                if mesh.detail == self.result.header.detail:
                    face.mesh = data
                else:
                    face.preview = data
        self.done = True


def _face(face: pb.Face) -> Face:
    box = (face.box.x, face.box.y, face.box.width, face.box.height)
    matrix = _matrix(face.mesh_to_photo) if face.mesh_to_photo else None
    return Face(
        face.index, box, face.score, short_name(pb.FaceOutcome, face.outcome), mesh_to_photo=matrix
    )


def _matrix(numbers: Sequence[float]) -> Matrix:
    """Return the rows of 16 column-major numbers."""
    return tuple((numbers[n], numbers[n + 4], numbers[n + 8], numbers[n + 12]) for n in range(4))
