"""What is behind a server's HTTP port, with a pipeline that answers at once."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from protome import errors
from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import Box, Placement
from protome.image.decode import ImageLimits
from protome.image.prepare import FoundFace, Outcome, PreparedPhoto
from protome.image.roll import Face
from protome.model.card import SHIPPED, load_model
from protome.pipeline.pipeline import Emit, Pipeline
from protome.pipeline.request import FaceReport, MeshPiece, Report, Request, split
from protome.scheduling.budget import Budget
from protome.server.backend import Backend
from protome.server.calls.convert import Converter
from protome.server.calls.photo_call import PhotoCalls
from protome.server.calls.uploads import Uploads
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import Tracer

CONFIG: Final = Config(max_image_bytes=4096, send_seconds=5.0, receive_seconds=5.0)
# What a photo may end with, by its first byte; other photos have as many faces.
FAILURES: Final[tuple[ProtomeError, ...]] = (
    errors.UnsupportedFormat("the file is a GIF picture", found="a GIF picture"),
    errors.BrokenImage("cannot be decoded: \r\n\0é\ud800", format="JPEG"),
    errors.ImageTooLarge("too large", width=1, height=2),
    errors.NoFaceFound("no face"),
    errors.Overloaded("busy", retry_seconds=2.5),
    errors.OverQuota("quota", retry_seconds=0.1),
    errors.DeadlinePassed("late"),
    errors.WorkerDied("died"),
    errors.WorkerHung("hung"),
    errors.Draining("shutting down"),
    errors.InvalidRequest("boxes[0] is not a rectangle", field="boxes[0]"),
)
MESH: Final = bytes(range(256)) * 3


class InstantPipeline:
    """Answers without decoding: the photo's bytes say with what."""

    def check(self, deadline: float, stream: object) -> None:
        """Admit every photo."""

    async def reconstruct(self, request: Request, emit: Emit) -> None:
        """Fail, before or after the header, or send a mesh for each face and level."""
        ImageLimits.of(CONFIG).check_bytes(len(request.image))
        first, late = request.image[0], len(request.image) % 2
        if first < len(FAILURES) and not late:
            raise FAILURES[first]
        await asyncio.sleep(0)
        faces = [_found(index, request.max_faces) for index in range(1 + first % 3)]
        photo = PreparedPhoto(64, 48, faces, 0.0, 0.0, 0.0)
        await emit(photo)
        if first < len(FAILURES):
            raise FAILURES[first]
        reports = []
        for index, found in enumerate(photo.faces):
            if found.placement is None:
                continue
            reports.append(FaceReport(index))
            for level in request.levels:
                for chunk in split(MESH, 500):
                    await emit(MeshPiece(index, level, chunk))
        await emit(Report(photo, reports, 0.1))


def _found(index: int, most: int) -> FoundFace:
    face = Face(Box(1.0, 2.0, 30.0, 40.0), 0.9)
    if index >= most:
        return FoundFace(face, Outcome.OVER_MAX_FACES, None)
    if index == 1:
        return FoundFace(face, Outcome.TOO_SMALL, None)
    return FoundFace(face, Outcome.RECONSTRUCTED, Placement(1.0, 2.0, 0.5))


def create_backend() -> tuple[Backend, PhotoCalls]:
    """All of a server that is behind its HTTP port, without workers and network."""
    model, metrics, budget = load_model(SHIPPED), Metrics(), Budget(CONFIG.max_held_bytes)
    converter = Converter(CONFIG, model)
    pipeline: Any = InstantPipeline()
    photos = PhotoCalls(CONFIG, cast(Pipeline, pipeline), converter, metrics, budget)
    uploads = Uploads(slow_uploads=4, receive_seconds=CONFIG.receive_seconds)
    info = converter.server_info("0", "CPU")
    backend = Backend(CONFIG, photos, uploads, None, Tracer(), metrics, info, None)
    return backend, photos
