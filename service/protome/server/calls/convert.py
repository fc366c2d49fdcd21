"""Convert between the messages of the contract (protome.v1) and the types of the pipeline."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protome.config import Config
from protome.geometry import Level
from protome.image.prepare import FoundFace, PreparedPhoto
from protome.mesh.build import BuiltMesh
from protome.mesh.files.encode import BEST_COMPRESSION, Encoding, Format
from protome.mesh.shape.surface import BACKEND
from protome.model.card import Model
from protome.pipeline.assess import Assessment
from protome.pipeline.request import Event, FaceReport, MeshPiece, Report, Request
from protome.v1 import reconstruction_pb2 as pb

from .parse_request import read_request

# From chin (menton) to crown of the mean head of ICT-FaceKit, at the scale of the crop rule.
HEAD_HEIGHT_METRES = 0.2207


@dataclass(frozen=True, slots=True)
class Converter:
    """Convert the messages of one server.

    Attributes:
        config: the settings.
        model: facts about the network.
    """

    config: Config
    model: Model

    def request(
        self, message: pb.ReconstructRequest, deadline: float, stream: Hashable = None
    ) -> Request:
        """Convert a request; arguments and errors as :func:`parse_request.read_request`."""
        return read_request(message, self.config, deadline, stream)

    def response(self, event: Event, request: Request) -> pb.ReconstructResponse:
        """Convert an event of the pipeline."""
        if isinstance(event, PreparedPhoto):
            return pb.ReconstructResponse(header=self.header(event, request))
        if isinstance(event, MeshPiece):
            return self.chunk(event)
        return pb.ReconstructResponse(summary=self.summary(event))

    def header(self, photo: PreparedPhoto, request: Request) -> pb.Header:
        """Convert what was found in a photo."""
        encoding: Encoding = request.encoding
        return pb.Header(
            photo_width=photo.width,
            photo_height=photo.height,
            faces=[_face(index, face) for index, face in enumerate(photo.faces)],
            model=self.model_message(),
            format=_to_pb(encoding.format),
            compression=_to_pb(encoding.compression),
            appearance=_to_pb(encoding.appearance),
            detail=_to_pb(request.levels[-1]),
            vertex_quality=encoding.vertex_quality,
        )

    def chunk(self, piece: MeshPiece) -> pb.ReconstructResponse:
        """Convert a piece of a mesh file."""
        response = pb.ReconstructResponse()
        # In place: a chunk that is given to a response is copied.
        chunk = response.chunk
        chunk.face_index = piece.face
        chunk.detail = _to_pb(piece.level)
        chunk.sequence = piece.chunk.sequence
        chunk.data = piece.chunk.data
        chunk.last = piece.chunk.last
        chunk.total_size = piece.chunk.total_size
        return response

    def summary(self, report: Report) -> pb.Summary:
        """Convert the report on a photo, the last event."""
        return pb.Summary(
            faces=[self._face_summary(face, report.photo) for face in report.faces],
            times=pb.PhotoTimes(
                decode_seconds=report.photo.decode_seconds,
                detect_seconds=report.photo.detect_seconds,
                crop_seconds=report.photo.crop_seconds,
                total_seconds=report.seconds,
            ),
        )

    def _face_summary(self, report: FaceReport, photo: PreparedPhoto) -> pb.FaceSummary:
        summary = pb.FaceSummary(
            face_index=report.face,
            outcome=_to_pb(report.outcome),
            message="" if report.error is None else report.error.message,
            meshes=[_mesh_summary(mesh) for mesh in report.meshes],
        )
        inferred = report.inferred
        if inferred is not None:
            summary.batch_size = inferred.batch_size
            summary.queue_seconds = inferred.queue_seconds
            summary.inference_seconds = inferred.inference_seconds
            placement = photo.faces[report.face].placement
            landmarks = inferred.prediction.landmarks
            if landmarks is not None and placement is not None:
                matrix = placement.crop_to_photo()
                points = landmarks @ matrix[:3, :3].T + matrix[:3, 3]
                for x, y, z in points.tolist():
                    summary.landmarks.add(x=x, y=y, z=z)
        if report.about is not None:
            _assessment(summary, report.about)
        return summary

    def model_message(self) -> pb.Model:
        """Describe the network."""
        return pb.Model(name=self.model.name, version=self.model.version, digest=self.model.digest)

    def server_info(self, version: str, provider: str) -> pb.GetServerInfoResponse:
        """Build the response of GetServerInfo."""
        config = self.config
        return pb.GetServerInfoResponse(
            version=version,
            model=self.model_message(),
            model_licence=self.model.licence,
            training_data=self.model.training_data,
            native_levels=[_to_pb(level) for level in Level],
            formats=[_to_pb(format_) for format_ in Format],
            compressions=[_to_pb(c) for c in BEST_COMPRESSION],
            limits=pb.Limits(
                max_image_bytes=config.max_image_bytes,
                max_image_pixels=config.max_image_pixels,
                max_faces=config.max_faces,
                chunk_bytes=config.chunk_bytes,
                max_stream_photos=config.max_stream_photos,
                min_face_pixels=config.min_face_pixels,
                max_unscaled_pixels=config.max_unscaled_pixels,
            ),
            execution_provider=provider,
            surface_backend=BACKEND,
            nominal_head_height_metres=HEAD_HEIGHT_METRES,
            has_landmarks=self.model.landmarks is not None,
        )


def _face(index: int, found: FoundFace) -> pb.Face:
    box = found.face.box
    matrix = None if found.placement is None else found.placement.mesh_to_photo()
    return pb.Face(
        index=index,
        box=pb.BoundingBox(x=box.x, y=box.y, width=box.width, height=box.height),
        score=found.face.score,
        outcome=_to_pb(found.outcome),
        mesh_to_photo=[] if matrix is None else matrix.T.ravel().tolist(),
    )


def _assessment(summary: pb.FaceSummary, about: Assessment) -> None:
    """Set what is known about a face."""
    summary.mesh_to_photo.extend(about.mesh_to_photo.T.ravel().tolist())
    if about.pose is not None:
        yaw, pitch, roll = about.pose
        summary.pose.CopyFrom(pb.Pose(yaw_degrees=yaw, pitch_degrees=pitch, roll_degrees=roll))
    if about.confidence is not None:
        summary.confidence = about.confidence
    summary.concerns.extend(_to_pb(concern) for concern in about.concerns)


def _mesh_summary(mesh: BuiltMesh) -> pb.MeshSummary:
    return pb.MeshSummary(
        detail=_to_pb(mesh.level),
        sha256=mesh.sha256,
        size=mesh.size,
        vertices=mesh.vertices,
        triangles=mesh.triangles,
        surface_seconds=mesh.surface_seconds,
        appearance_seconds=mesh.appearance_seconds,
        encode_seconds=mesh.encode_seconds,
        simplification_error_metres=mesh.error_metres,
    )


def _to_pb(value: IntEnum) -> Any:
    """Convert a member of one of our enums, whose numbers are those of the contract."""
    return int(value)
