"""Between the contract (protome.v1 messages) and the line's own types."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import cast

from protome.config import Config
from protome.geometry import Level, angles
from protome.image.prepare import FoundFace, Outcome, PreparedPhoto
from protome.mesh.build import BuiltMesh
from protome.mesh.encode import (
    BEST_COMPRESSION,
    Compression,
    Encoding,
    Format,
)
from protome.mesh.mesh import Appearance
from protome.mesh.surface import BACKEND
from protome.model.card import Model
from protome.model.engine import Prediction
from protome.pipeline.concerns import Concern, concerns
from protome.pipeline.request import FaceReport, MeshPiece, Report, Request
from protome.v1 import reconstruction_pb2 as pb

from .parse_request import read_request

# Chin (menton) to crown of the mean head of ICT-FaceKit, whom the crop rule puts at 6.2 px/cm.
HEAD_HEIGHT_METRES = 0.2207


@dataclass(frozen=True, slots=True)
class Wire:
    """Translates for one server."""

    config: Config
    model: Model

    def request(
        self, message: pb.ReconstructRequest, deadline: float, stream: Hashable = None
    ) -> Request:
        """Read a request of a stream.

        Raises:
            InvalidRequest: a field is out of its range.
        """
        return read_request(message, self.config, deadline, stream)

    def header(self, photo: PreparedPhoto, request: Request) -> pb.Header:
        """What was found."""
        encoding: Encoding = request.encoding
        return pb.Header(
            photo_width=photo.width,
            photo_height=photo.height,
            faces=[_face(index, face) for index, face in enumerate(photo.faces)],
            model=self.model_message(),
            format=_format(encoding.format),
            compression=_compression(encoding.compression),
            appearance=_appearance(encoding.appearance),
            detail=_detail(request.levels[-1]),
            vertex_quality=encoding.vertex_quality,
        )

    def chunk(self, piece: MeshPiece) -> pb.MeshChunk:
        """A piece of a mesh."""
        return pb.MeshChunk(
            face_index=piece.face,
            detail=_detail(piece.level),
            sequence=piece.chunk.sequence,
            data=piece.chunk.data,
            last=piece.chunk.last,
            total_size=piece.chunk.total_size,
        )

    def summary(self, report: Report) -> pb.Summary:
        """The closing event."""
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
            outcome=_outcome(report.outcome),
            message="" if report.error is None else report.error.message,
            meshes=[_mesh_summary(mesh) for mesh in report.meshes],
        )
        inferred = report.inferred
        if inferred is not None:
            summary.batch_size = inferred.batch_size
            summary.queue_seconds = inferred.queue_seconds
            summary.inference_seconds = inferred.inference_seconds
            placement = photo.faces[report.face].placement
            prediction = inferred.prediction
            landmarks, pose = prediction.landmarks, prediction.pose
            if landmarks is not None and placement is not None:
                matrix = placement.crop_to_photo()
                points = landmarks @ matrix[:3, :3].T + matrix[:3, 3]
                for x, y, z in points.tolist():
                    summary.landmarks.add(x=x, y=y, z=z)
            if pose is not None and placement is not None:
                yaw, pitch, roll = angles(pose, placement.roll)
                summary.pose.CopyFrom(
                    pb.Pose(yaw_degrees=yaw, pitch_degrees=pitch, roll_degrees=roll)
                )
            self._judge(summary, prediction, photo, photo.faces[report.face])
        return summary

    def _judge(
        self,
        summary: pb.FaceSummary,
        prediction: Prediction,
        photo: PreparedPhoto,
        found: FoundFace,
    ) -> None:
        """How far the face's mesh can be relied on."""
        landmarks = prediction.landmarks
        expected = self.model.expected_error(landmarks, prediction.landmark_error)
        confidence = None
        if expected is not None:
            summary.confidence = confidence = expected.confidence
        assert found.placement is not None
        against = concerns(
            pixel=found.placement.pixel,
            blur=found.blur,
            frame=found.placement.frame(photo.width, photo.height),
            landmarks=landmarks,
            pose=prediction.pose,
            confidence=confidence,
        )
        summary.concerns.extend(_concern(concern) for concern in against)

    def model_message(self) -> pb.Model:
        """The network."""
        return pb.Model(name=self.model.name, version=self.model.version, digest=self.model.digest)

    def server_info(self, version: str, provider: str) -> pb.GetServerInfoResponse:
        """What the server is."""
        config = self.config
        return pb.GetServerInfoResponse(
            version=version,
            model=self.model_message(),
            model_licence=self.model.licence,
            training_data=self.model.training_data,
            native_levels=[_detail(level) for level in self.model.levels],
            formats=[_format(format_) for format_ in Format],
            compressions=[_compression(c) for c in BEST_COMPRESSION],
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
        outcome=_outcome(found.outcome),
        mesh_to_photo=[] if matrix is None else matrix.T.ravel().tolist(),
    )


def _mesh_summary(mesh: BuiltMesh) -> pb.MeshSummary:
    return pb.MeshSummary(
        detail=_detail(mesh.level),
        sha256=mesh.sha256,
        size=mesh.size,
        vertices=mesh.vertices,
        triangles=mesh.triangles,
        surface_seconds=mesh.surface_seconds,
        appearance_seconds=mesh.appearance_seconds,
        encode_seconds=mesh.encode_seconds,
        simplification_error_metres=mesh.error_metres,
    )


def _detail(level: Level) -> pb.DetailLevel.ValueType:
    return cast("pb.DetailLevel.ValueType", int(level))


def _concern(concern: Concern) -> pb.Concern.ValueType:
    return cast("pb.Concern.ValueType", int(concern))


def _format(format_: Format) -> pb.MeshFormat.ValueType:
    return cast("pb.MeshFormat.ValueType", int(format_))


def _compression(compression: Compression) -> pb.Compression.ValueType:
    return cast("pb.Compression.ValueType", int(compression))


def _appearance(appearance: Appearance) -> pb.Appearance.ValueType:
    return cast("pb.Appearance.ValueType", int(appearance))


def _outcome(outcome: Outcome) -> pb.FaceOutcome.ValueType:
    return cast("pb.FaceOutcome.ValueType", int(outcome))
