"""Take a photo through all stages:

bytes → image → faces → crops → batch → head and hair → surface → encoded mesh → chunks

The stages before and after the network run in worker processes (``image.prepare``, ``mesh.build``),
the network in the engine (``inference``). Meshes are cut into chunks last, when they are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Iterator,
    Sequence,
)
from typing import Any, Final

import numpy as np

from protome.config import Config
from protome.errors import (
    ClientGone,
    DeadlinePassed,
    NoFaceFound,
    NoSurface,
    Overloaded,
    ProtomeError,
)
from protome.geometry import U8, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import Outcome, PreparedPhoto
from protome.mesh.build import BuiltMesh, pack
from protome.model.card import Model
from protome.scheduling.budget import Budget
from protome.scheduling.forecast import Forecast, Order
from protome.telemetry.context import record_stages
from protome.telemetry.metrics import Metrics
from protome.workers.pool import Pool, Rank

from .assess import Assessment, assess
from .inference import Inference, Inferred
from .photo_run import FaceTask, PhotoRun, WorkAccount, face_tasks, mesh_kind
from .request import Event, FaceReport, MeshPiece, Report, Request, split

Emit = Callable[[Event], Awaitable[None]]


# Meshes of one photo that are built or sent at a time.
MESHES_IN_PROGRESS: Final = 2


class Pipeline:
    """Drives the parts that the stages run in; owns none of them.

    Args:
        config: limits of photos and faces, size of chunks.
        model: the model card of the network.
        pool: runs the stages before and after the network.
        inference: runs the network.
        metrics: counts.
        budget: counts the bytes held.
        forecast: admits photos.
    """

    def __init__(
        self,
        config: Config,
        model: Model,
        pool: Pool,
        inference: Inference,
        metrics: Metrics,
        budget: Budget,
        forecast: Forecast,
    ) -> None:
        self._config = config
        self._limits = ImageLimits.of(config)
        self._budget = budget
        self._model = model
        self._pool = pool
        self._inference = inference
        self._metrics = metrics
        self._forecast = forecast

    async def reconstruct(self, request: Request, emit: Emit) -> None:
        """Reconstruct the faces of a photo.

        Args:
            request: the photo and the meshes wanted of it.
            emit: called with each event as it happens: the photo, then the pieces of the meshes,
                then the report. The pipeline continues once the call returns.

        Raises:
            ProtomeError: the photo cannot be used or cannot be done in time, or all of its faces
                failed because of the server.
        """
        began = time.monotonic()
        with self._admitted(request) as run:
            photo, reports = await self._run_stages(run, emit)
            await emit(Report(photo, reports, time.monotonic() - began))

    def check(self, deadline: float, stream: Hashable) -> None:
        """Refuse a photo before its bytes are read; see :meth:`Forecast.check`."""
        self._forecast.check(deadline, stream)

    def drain(self) -> None:
        """Hold no batch back from now on, because no more photos will come."""
        self._inference.drain()

    @contextlib.contextmanager
    def _admitted(self, request: Request) -> Iterator[PhotoRun]:
        """Admit a photo and hold its place for the duration of the block."""
        order = Order(
            size=len(request.image),
            faces=len(request.boxes),
            max_faces=request.max_faces,
            meshes=[mesh_kind(level, request) for level in request.levels],
            deadline=request.deadline,
            turn=request.turn(),
        )
        place = self._forecast.enter(order)
        work = WorkAccount(self._metrics)
        try:
            yield PhotoRun(request, place, work)
        except (DeadlinePassed, Overloaded, ClientGone, asyncio.CancelledError):
            work.mark_wasted()
            raise
        finally:
            place.leave()

    async def _run_stages(
        self, run: PhotoRun, emit: Emit
    ) -> tuple[PreparedPhoto, Sequence[FaceReport]]:
        request = run.request
        try:
            async with asyncio.timeout(_remaining(request)):
                # bytes → image → faces → crops
                photo, pictures = await self._prepare(run)
                await emit(photo)
                # batch → head and hair → surface → encoded mesh → chunks, for each face
                sending = asyncio.Semaphore(MESHES_IN_PROGRESS)
                with self._budget.hold(sum(picture.nbytes for picture in pictures)):
                    reports = await _together(
                        [
                            self._face(face, run, sending, emit)
                            for face in face_tasks(photo, pictures)
                        ]
                    )
        except TimeoutError:
            raise DeadlinePassed("the deadline passed") from None
        _raise_if_failed(reports)
        return photo, reports

    async def _prepare(self, run: PhotoRun) -> tuple[PreparedPhoto, Sequence[U8]]:
        request = run.request
        self._limits.check_bytes(len(request.image))
        job = request.photo_job(self._config, self._model.rule)
        photo: PreparedPhoto
        with self._budget.hold(len(request.image)):
            image, request.image = request.image, b""
            try:
                photo, pictures = await self._pool.run(
                    "prepare",
                    job,
                    [image],
                    request.turn(Rank.BEGIN),
                    latest_start=run.place.begin_by,
                    on_spent=run.work.add_worker,
                )
            except NoFaceFound:
                self._metrics.photo_faces(0)
                raise
        self._metrics.photo_faces(len(photo.faces))
        self._stages(
            decode=photo.decode_seconds, detect=photo.detect_seconds, crop=photo.crop_seconds
        )
        seconds = photo.decode_seconds + photo.detect_seconds + photo.crop_seconds
        run.place.prepared(seconds, len(pictures) // 2)
        return photo, pictures

    async def _face(
        self, face: FaceTask, run: PhotoRun, sending: asyncio.Semaphore, emit: Emit
    ) -> FaceReport:
        report = FaceReport(face.index)
        try:
            inferred = await self._infer(face.crop, run)
            report.inferred = inferred.without_shape()
            prediction = inferred.prediction
            about = assess(face.found, face.frame, prediction, self._model, front=run.request.front)
            report.about = about
            inputs = pack(prediction.vertices, prediction.hair, face.portrait)
            with self._budget.hold(prediction.vertices.nbytes + prediction.hair.nbytes):
                for level in run.request.levels:
                    # Build no more meshes while the client does not read.
                    async with sending:
                        facts, data = await self._build(inputs, face, level, run, about)
                        await self._send(data, face.index, level, emit)
                    report.meshes.append(facts)
        except ProtomeError as error:
            report.error = error
            report.outcome = Outcome.NO_SURFACE if isinstance(error, NoSurface) else Outcome.FAILED
        return report

    async def _send(self, data: bytes, face: int, level: Level, emit: Emit) -> None:
        with self._budget.hold(len(data)):
            for chunk in split(data, self._config.chunk_bytes):
                await emit(MeshPiece(face, level, chunk))

    async def _infer(self, crop: U8, run: PhotoRun) -> Inferred:
        inferred = await self._inference.infer(crop, run.request.turn(), run.place.infer_by)
        run.place.inferred()
        run.work.add_network(inferred.inference_seconds / inferred.batch_size)
        self._stages(queue=inferred.queue_seconds, inference=inferred.inference_seconds)
        return inferred

    async def _build(
        self,
        inputs: Sequence[U8],
        face: FaceTask,
        level: Level,
        run: PhotoRun,
        about: Assessment,
    ) -> tuple[BuiltMesh, bytes]:
        """Build a mesh; return its facts, which the report keeps, and the file."""
        request = run.request
        kind = mesh_kind(level, request)
        job = request.mesh_job(level, face.frame, about)
        facts: BuiltMesh
        facts, (data,) = await self._pool.run(
            "build",
            job,
            inputs,
            request.turn(Rank.FINISH),
            latest_start=run.place.mesh_by(kind),
            on_spent=run.work.add_worker,
            take=np.ndarray.tobytes,
        )
        seconds = facts.surface_seconds + facts.appearance_seconds + facts.encode_seconds
        run.place.built(kind, seconds)
        self._stages(
            surface=facts.surface_seconds,
            appearance=facts.appearance_seconds,
            encode=facts.encode_seconds,
        )
        self._metrics.mesh(len(data))
        return facts, data

    def _stages(self, **seconds: float) -> None:
        """Record stages that ran one after the other and have just ended."""
        for stage, duration in seconds.items():
            self._metrics.stage(stage, duration)
        record_stages(seconds)


async def _together(faces: Sequence[Coroutine[Any, Any, FaceReport]]) -> list[FaceReport]:
    """Run all faces at the same time; a single one without a task of its own."""
    if len(faces) == 1:
        return [await faces[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(face) for face in faces]
    return [task.result() for task in tasks]


def _raise_if_failed(reports: Sequence[FaceReport]) -> None:
    """Raise a face's error as the photo's if no face can succeed.

    All faces failed, the client has left, the deadline has passed, or the client should try again
    later.
    """
    for report in reports:
        if isinstance(report.error, DeadlinePassed | ClientGone | Overloaded):
            raise report.error
    if reports and all(report.outcome is Outcome.FAILED for report in reports):
        assert reports[0].error is not None
        raise reports[0].error


def _remaining(request: Request) -> float | None:
    return None if request.deadline == float("inf") else request.deadline - time.monotonic()
