"""The straight line of the data, top to bottom:

bytes → image → faces → crops → batch → volume → surface → encoded mesh → chunks

The stages before and after the network run in worker processes (``stages``), the network in the
engine (``inference``); cutting the mesh into chunks is the last thing before the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from .budget import Budget
from .chunks import Chunk, split
from .config import Config
from .encode import Encoding
from .errors import (
    ClientGone,
    DeadlinePassed,
    ImageTooLarge,
    NoFaceFound,
    NoSurface,
    Overloaded,
    ProtomeError,
)
from .faces import Box
from .grid import U8, Frame, Level
from .image import ImageLimits
from .inference import Inference, Inferred
from .metrics import Metrics
from .model import Model
from .pool import Pool, Rank
from .stages import BuiltMesh, MeshJob, Outcome, Photo, PhotoJob


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
    """

    image: bytes
    boxes: Sequence[Box]
    max_faces: int
    levels: Sequence[Level]
    encoding: Encoding
    deadline: float = float("inf")


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


@dataclass(frozen=True, slots=True)
class Kept:
    """A face on its way through the line: number, crop for the network, portrait for colours, and
    the part of both that shows the photo."""

    index: int
    frame: Frame
    crop: U8
    portrait: U8


Event = Photo | MeshPiece | Report
Emit = Callable[[Event], Awaitable[None]]


# Meshes of one photo that are being built or sent at a time.
UNSENT: Final = 2


class Line:
    """The line; owns nothing, drives its parts."""

    def __init__(
        self,
        config: Config,
        model: Model,
        pool: Pool,
        inference: Inference,
        metrics: Metrics,
        budget: Budget,
    ) -> None:
        self._config = config
        self._budget = budget
        self._model = model
        self._pool = pool
        self._inference = inference
        self._metrics = metrics

    async def reconstruct(self, request: Request, emit: Emit) -> None:
        """Take a photo down the line.

        Args:
            request: the photo.
            emit: told each event as it happens: the photo, then the pieces of the meshes, then the
                report. The line goes on once it returns.

        Raises:
            ProtomeError: the photo cannot be used, or none of its faces could be reconstructed for
                a reason that is the server's.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(_remaining(request)):
                # bytes → image → faces → crops
                photo, pictures = await self._prepare(request)
                await emit(photo)
                # batch → volume → surface → encoded mesh → chunks, for each face
                sending = asyncio.Semaphore(UNSENT)
                with self._budget.hold(sum(picture.nbytes for picture in pictures)):
                    async with asyncio.TaskGroup() as group:
                        tasks = [
                            group.create_task(self._face(kept, request, sending, emit))
                            for kept in _kept(photo, pictures)
                        ]
        except TimeoutError:
            raise DeadlinePassed("the deadline passed") from None
        reports = [task.result() for task in tasks]
        _raise_if_failed(reports)
        await emit(Report(photo, reports, time.monotonic() - began))

    async def _prepare(self, request: Request) -> tuple[Photo, Sequence[U8]]:
        config = self._config
        if len(request.image) > config.max_image_bytes:
            raise ImageTooLarge(
                f"image has {len(request.image)} bytes, the limit is {config.max_image_bytes}",
                bytes=len(request.image),
                max_image_bytes=config.max_image_bytes,
            )
        job = PhotoJob(
            boxes=request.boxes,
            max_faces=request.max_faces,
            min_face_pixels=config.min_face_pixels,
            min_score=config.min_score,
            limits=ImageLimits(
                config.max_image_bytes, config.max_image_pixels, config.max_unscaled_pixels
            ),
            rule=self._model.rule,
            appearance=request.encoding.appearance,
        )
        photo: Photo
        with self._budget.hold(len(request.image)):
            image, request.image = request.image, b""
            try:
                photo, pictures = await self._pool.run("prepare", job, [image], Rank.BEGIN)
            except NoFaceFound:
                self._metrics.photo(0)
                raise
        self._metrics.photo(len(photo.faces))
        self._metrics.stage("decode", photo.decode_seconds)
        self._metrics.stage("detect", photo.detect_seconds)
        self._metrics.stage("crop", photo.crop_seconds)
        return photo, pictures

    async def _face(
        self, face: Kept, request: Request, sending: asyncio.Semaphore, emit: Emit
    ) -> FaceReport:
        report = FaceReport(face.index)
        try:
            sources = {level: self._model.source(level) for level in request.levels}
            inferred = await self._infer(face.crop, sources.values(), request.deadline)
            volumes = inferred.prediction.volumes
            report.inferred = inferred.without_volumes()
            with self._budget.hold(sum(volume.nbytes for volume in volumes.values())):
                for level in request.levels:
                    # A client that does not read gets no more meshes built.
                    async with sending:
                        volume = volumes[sources[level]]
                        mesh = await self._build(volume, face, level, request.encoding)
                        with self._budget.hold(mesh.size):
                            for chunk in split(mesh.data, self._config.chunk_bytes):
                                await emit(MeshPiece(face.index, level, chunk))
                    # The bytes are sent; the report needs only the facts.
                    report.meshes.append(mesh.holding(b""))
        except ProtomeError as error:
            report.error = error
            report.outcome = Outcome.NO_SURFACE if isinstance(error, NoSurface) else Outcome.FAILED
        return report

    async def _infer(self, crop: U8, levels: Collection[Level], deadline: float) -> Inferred:
        inferred = await self._inference.infer(crop, set(levels), deadline)
        self._metrics.stage("queue", inferred.queue_seconds)
        self._metrics.stage("inference", inferred.inference_seconds)
        return inferred

    async def _build(self, volume: U8, face: Kept, level: Level, encoding: Encoding) -> BuiltMesh:
        job = MeshJob(level, encoding, face.frame)
        facts: BuiltMesh
        facts, (data,) = await self._pool.run("build", job, [volume, face.portrait], Rank.FINISH)
        self._metrics.stage("surface", facts.surface_seconds)
        self._metrics.stage("appearance", facts.appearance_seconds)
        self._metrics.stage("encode", facts.encode_seconds)
        self._metrics.mesh(len(data))
        return facts.holding(data.tobytes())


def _kept(photo: Photo, pictures: Sequence[U8]) -> list[Kept]:
    """The faces that go on, with their pictures."""
    placed = [
        (index, found.placement.frame(photo.width, photo.height))
        for index, found in enumerate(photo.faces)
        if found.placement is not None
    ]
    pairs = zip(placed, pictures[0::2], pictures[1::2], strict=True)
    return [Kept(index, frame, crop, portrait) for (index, frame), crop, portrait in pairs]


def _raise_if_failed(reports: Sequence[FaceReport]) -> None:
    """A failure is the photo's when no face got past it, when nobody waits any more, or when
    asking again later is the answer."""
    for report in reports:
        if isinstance(report.error, DeadlinePassed | ClientGone | Overloaded):
            raise report.error
    if reports and all(report.outcome is Outcome.FAILED for report in reports):
        assert reports[0].error is not None
        raise reports[0].error


def _remaining(request: Request) -> float | None:
    return None if request.deadline == float("inf") else request.deadline - time.monotonic()
