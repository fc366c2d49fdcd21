"""The straight line of the data, top to bottom:

bytes → image → faces → crops → batch → volume → surface → encoded mesh → chunks

The stages before and after the network run in worker processes (``image.prepare``, ``mesh.build``),
the network in the engine (``inference``); cutting the mesh into chunks is the last thing before the
wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Hashable,
    Iterator,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import numpy as np

from protome.confidence import Expectation
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
from protome.image.prepare import Outcome, Photo
from protome.mesh.build import BuiltMesh
from protome.model.card import Model
from protome.scheduling.budget import Budget
from protome.scheduling.forecast import Forecast, Order
from protome.telemetry import context as call
from protome.telemetry.metrics import Metrics
from protome.workers.pool import Pool, Rank, Terms

from .inference import Inference, Inferred
from .photo_run import Kept, Spent, Trip, kept_faces, kind_of
from .request import Event, FaceReport, MeshPiece, Report, Request, split

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
        """Take a photo down the line.

        Args:
            request: the photo.
            emit: told each event as it happens: the photo, then the pieces of the meshes, then the
                report. The line goes on once it returns.

        Raises:
            ProtomeError: the photo cannot be used, or cannot be done in time, or none of its faces
                could be reconstructed for a reason that is the server's.
        """
        began = time.monotonic()
        with self._trip(request) as trip:
            photo, reports = await self._go(trip, emit)
            await emit(Report(photo, reports, time.monotonic() - began))

    def check(self, deadline: float, stream: Hashable) -> None:
        """See :meth:`forecast.Forecast.check`."""
        self._forecast.check(deadline, stream)

    def drain(self) -> None:
        """No more photos will come: hold nothing back."""
        self._inference.drain()

    @contextlib.contextmanager
    def _trip(self, request: Request) -> Iterator[Trip]:
        """A photo's place in the line for as long as the block lasts."""
        order = Order(
            size=len(request.image),
            faces=len(request.boxes),
            max_faces=request.max_faces,
            meshes=[kind_of(level, request) for level in request.levels],
            deadline=request.deadline,
            turn=request.turn,
        )
        place = self._forecast.enter(order)
        spent = Spent(self._metrics)
        try:
            yield Trip(request, place, spent)
        except (DeadlinePassed, Overloaded, ClientGone, asyncio.CancelledError):
            spent.for_nobody()
            raise
        finally:
            place.leave()

    async def _go(self, trip: Trip, emit: Emit) -> tuple[Photo, Sequence[FaceReport]]:
        request = trip.request
        try:
            async with asyncio.timeout(_remaining(request)):
                # bytes → image → faces → crops
                photo, pictures = await self._prepare(trip)
                await emit(photo)
                # batch → volume → surface → encoded mesh → chunks, for each face
                sending = asyncio.Semaphore(UNSENT)
                with self._budget.hold(sum(picture.nbytes for picture in pictures)):
                    reports = await _together(
                        [
                            self._face(kept, trip, sending, emit)
                            for kept in kept_faces(photo, pictures)
                        ]
                    )
        except TimeoutError:
            raise DeadlinePassed("the deadline passed") from None
        _raise_if_failed(reports)
        return photo, reports

    async def _prepare(self, trip: Trip) -> tuple[Photo, Sequence[U8]]:
        request = trip.request
        self._limits.check_bytes(len(request.image))
        job = request.photo_job(self._config, self._model.rule)
        terms = Terms(Rank.BEGIN, request.turn, trip.place.begin_by, trip.spent.worker)
        photo: Photo
        with self._budget.hold(len(request.image)):
            image, request.image = request.image, b""
            try:
                photo, pictures = await self._pool.run("prepare", job, [image], terms)
            except NoFaceFound:
                self._metrics.photo(0)
                raise
        self._metrics.photo(len(photo.faces))
        self._stages(
            decode=photo.decode_seconds, detect=photo.detect_seconds, crop=photo.crop_seconds
        )
        seconds = photo.decode_seconds + photo.detect_seconds + photo.crop_seconds
        trip.place.prepared(seconds, len(pictures) // 2)
        return photo, pictures

    async def _face(
        self, face: Kept, trip: Trip, sending: asyncio.Semaphore, emit: Emit
    ) -> FaceReport:
        report = FaceReport(face.index)
        levels = {level: self._model.source(level) for level in trip.request.levels}
        # A client that does not read gets no more meshes built, nor large volumes predicted.
        whole: AbstractAsyncContextManager[None] = contextlib.nullcontext()
        each: AbstractAsyncContextManager[None] = sending
        if self._model.large(levels.values()):
            whole, each = each, whole
        try:
            async with whole:
                inferred = await self._infer(face.crop, set(levels.values()), trip)
                report.inferred = inferred.without_volumes()
                prediction = inferred.prediction
                expected = self._model.expectation(prediction.landmarks, prediction.landmark_error)
                volumes = prediction.volumes
                with self._budget.hold(sum(volume.nbytes for volume in volumes.values())):
                    for level, source in levels.items():
                        async with each:
                            mesh = await self._build(volumes[source], face, level, trip, expected)
                            await self._send(mesh, face.index, level, emit)
                        # The bytes are sent; the report needs only the facts.
                        report.meshes.append(mesh.holding(b""))
        except ProtomeError as error:
            report.error = error
            report.outcome = Outcome.NO_SURFACE if isinstance(error, NoSurface) else Outcome.FAILED
        return report

    async def _send(self, mesh: BuiltMesh, face: int, level: Level, emit: Emit) -> None:
        with self._budget.hold(mesh.size):
            for chunk in split(mesh.data, self._config.chunk_bytes):
                await emit(MeshPiece(face, level, chunk))

    async def _infer(self, crop: U8, levels: Collection[Level], trip: Trip) -> Inferred:
        request = trip.request
        inferred = await self._inference.infer(
            crop, levels, trip.place.due, stream=request.stream, priority=request.priority
        )
        trip.place.inferred()
        trip.spent.network(inferred.inference_seconds / inferred.batch_size)
        self._stages(queue=inferred.queue_seconds, inference=inferred.inference_seconds)
        return inferred

    async def _build(
        self, volume: U8, face: Kept, level: Level, trip: Trip, expected: Expectation | None
    ) -> BuiltMesh:
        request = trip.request
        kind = kind_of(level, request)
        job = request.mesh_job(level, face.frame, expected)
        latest = trip.place.mesh_by(kind)
        terms = Terms(Rank.FINISH, request.turn, latest, trip.spent.worker)
        facts: BuiltMesh
        facts, (data,) = await self._pool.run(
            "build", job, [volume, face.portrait], terms, np.ndarray.tobytes
        )
        seconds = facts.surface_seconds + facts.appearance_seconds + facts.encode_seconds
        trip.place.built(kind, seconds)
        self._stages(
            surface=facts.surface_seconds,
            appearance=facts.appearance_seconds,
            encode=facts.encode_seconds,
        )
        self._metrics.mesh(len(data))
        return facts.holding(data)

    def _stages(self, **seconds: float) -> None:
        """Stages that ran one after the other and ended now."""
        for stage, duration in seconds.items():
            self._metrics.stage(stage, duration)
        call.stages(seconds)


async def _together(faces: Sequence[Coroutine[Any, Any, FaceReport]]) -> list[FaceReport]:
    """All at a time; a lone one needs no task of its own."""
    if len(faces) == 1:
        return [await faces[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(face) for face in faces]
    return [task.result() for task in tasks]


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
