"""Put the answers of a server together, and read its errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
from google.rpc import error_details_pb2, status_pb2

from protome.v1 import reconstruction_pb2 as pb

_DETAILS_KEY: Final = "grpc-status-details-bin"
# What gRPC for asyncio says when a call ended while it sent a message; how it ended is lost.
_LOST: Final = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class ReconstructionError(Exception):
    """The server answered with a failure.

    Attributes:
        code: gRPC status code.
        reason: machine-readable, such as ``BROKEN_IMAGE``; empty if the failure is gRPC's own.
        facts: such as the limit that was passed.
        retry_seconds: when to try again, or None.
        begun: whether the answer had begun, so that gRPC has not tried again by itself.
    """

    begun = False

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.facts = dict(facts or {})
        self.retry_seconds = retry_seconds


class NoFaceFound(ReconstructionError):
    """The photo is fine but shows no face."""


class CorruptAnswer(Exception):
    """The bytes that came are not those the server sent."""


@dataclass(slots=True)
class Face:
    """A face of the photo.

    Attributes:
        index: its number in the photo, largest face first.
        box: (x, y, width, height) in photo pixels.
        score: detector's confidence, 0 to 1.
        outcome: RECONSTRUCTED, or why there is no mesh, as in protome.v1.FaceOutcome.
        message: more about that, for a person.
        mesh_to_photo: (4, 4) from mesh metres to photo pixels; None if the face was left out.
        mesh: the mesh file, empty if there is none.
        preview: the PREVIEW mesh, if one was asked for.
        confidence: probability that the mesh fits, see protome.v1.FaceSummary; None if untold.
        concerns: what speaks against the mesh, names as in protome.v1.Concern.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    outcome: str
    message: str = ""
    mesh_to_photo: npt.NDArray[np.float64] | None = None
    mesh: bytes = b""
    preview: bytes = b""
    confidence: float | None = None
    concerns: tuple[str, ...] = ()


@dataclass(slots=True)
class Reconstruction:
    """The answer to one photo; ``header`` and ``summary`` are the contract's messages."""

    header: pb.Header
    faces: list[Face]
    summary: pb.Summary = field(default_factory=pb.Summary)


class Assembler:
    """Puts the events of an answer together, for clients of their own making.

    Feed it each event; ``result`` is complete once ``done``.
    """

    def __init__(self) -> None:
        self.result: Reconstruction | None = None
        self.done = False
        self._parts: dict[tuple[int, int], bytearray] = {}

    def feed(self, event: pb.ReconstructResponse | pb.ReconstructManyResponse) -> None:
        """Take the next event.

        Raises:
            CorruptAnswer: events are missing or a digest is wrong.
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

    def _close(self, summary: pb.Summary) -> None:
        if self.result is None:
            raise CorruptAnswer("a summary came before the header")
        self.result.summary = summary
        for report in summary.faces:
            face = self.result.faces[report.face_index]
            face.outcome = _outcome(report.outcome)
            face.message = report.message
            face.confidence = report.confidence if report.HasField("confidence") else None
            names = map(pb.Concern.Name, report.concerns)
            face.concerns = tuple(name.removeprefix("CONCERN_") for name in names)
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
    matrix = None
    if face.mesh_to_photo:
        matrix = np.array(face.mesh_to_photo, np.float64).reshape(4, 4).T
    return Face(face.index, box, face.score, _outcome(face.outcome), mesh_to_photo=matrix)


def _outcome(value: pb.FaceOutcome.ValueType) -> str:
    return pb.FaceOutcome.Name(value).removeprefix("FACE_OUTCOME_")


def finished(assembler: Assembler) -> Reconstruction:
    """The whole answer.

    Raises:
        CorruptAnswer: it is not whole.
    """
    if not assembler.done or assembler.result is None:
        raise CorruptAnswer("the stream ended before the summary")
    return assembler.result


def translate(error: grpc.RpcError) -> ReconstructionError:
    """Read the google.rpc details of a failed call."""
    call: Any = error
    reason, facts, retry = "", {}, None
    for key, value in call.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, again = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason, facts = info.reason, dict(info.metadata)
            elif detail.Unpack(again):
                retry = again.retry_delay.seconds + again.retry_delay.nanos / 1e9
    code, message = call.code(), call.details() or ""
    if (code, message) == _LOST:
        code, message = grpc.StatusCode.UNAVAILABLE, "the call ended while photos were being sent"
    failure = _error(code, message, reason, facts, retry)
    # The server sends some before its first message.
    failure.begun = bool(call.initial_metadata())
    return failure


def from_message(error: pb.Error) -> ReconstructionError:
    """Read the error of a photo in a ReconstructMany stream."""
    code = next(c for c in grpc.StatusCode if c.value[0] == error.code)
    retry = None
    if error.HasField("retry_delay"):
        retry = error.retry_delay.seconds + error.retry_delay.nanos / 1e9
    return _error(code, error.message, error.reason, error.metadata, retry)


def _error(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    facts: Mapping[str, str],
    retry: float | None,
) -> ReconstructionError:
    kind = NoFaceFound if reason == "NO_FACE_FOUND" else ReconstructionError
    return kind(code, message, reason, facts, retry)
