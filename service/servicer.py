"""The gRPC methods: requests in, events of the line out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NoReturn

import grpc

from . import status
from .budget import Budget
from .errors import (
    ClientGone,
    Draining,
    Internal,
    InvalidRequest,
    NoFaceFound,
    Overloaded,
    ProtomeError,
)
from .line import Event, Line, MeshPiece, Request
from .metrics import Metrics
from .stages import Photo
from .v1 import reconstruction_pb2 as pb
from .v1 import reconstruction_pb2_grpc as pb_grpc
from .wire import Wire

log = logging.getLogger(__name__)

MAX_ID: Final = 128
# How much earlier than our reckoning gRPC may end a call at its deadline, seconds.
CLOCK_SLACK: Final = 0.05

ReconstructContext = grpc.aio.ServicerContext[pb.ReconstructRequest, pb.ReconstructResponse]
ManyContext = grpc.aio.ServicerContext[pb.ReconstructManyRequest, pb.ReconstructManyResponse]
InfoContext = grpc.aio.ServicerContext[pb.GetServerInfoRequest, pb.GetServerInfoResponse]
Send = Callable[[pb.ReconstructResponse], Awaitable[None]]


class Servicer(pb_grpc.ReconstructionServiceServicer):
    """Serves ``protome.v1.ReconstructionService``.

    Args:
        line: what reconstructs.
        wire: translates.
        metrics: counts.
        budget: bytes held for clients.
        info: the answer to GetServerInfo.
        max_requests: photos worked on at a time, over all calls.
        max_stream_photos: photos of one ReconstructMany stream worked on at a time.
        send_seconds: how long a message may wait for the client to take it.
    """

    def __init__(
        self,
        *,
        line: Line,
        wire: Wire,
        metrics: Metrics,
        budget: Budget,
        info: pb.GetServerInfoResponse,
        max_requests: int,
        max_stream_photos: int,
        send_seconds: float,
    ) -> None:
        self._line = line
        self._wire = wire
        self._metrics = metrics
        self._budget = budget
        self._info = info
        self._max_requests = max_requests
        self._max_stream_photos = max_stream_photos
        self._send_seconds = send_seconds
        self._photos = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def drain(self, seconds: float) -> None:
        """Take no new photos; returns when those in flight are answered, or after ``seconds``."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    # grpc.aio takes coroutines that write as well as generators; its stubs know only the latter.
    async def Reconstruct(  # type: ignore[override]
        self, request: pb.ReconstructRequest, context: ReconstructContext
    ) -> None:
        """One photo; see the contract."""
        try:
            await self._photo("Reconstruct", request, _deadline(context), context.write)
        except ProtomeError as error:
            await _abort(context, error)

    async def ReconstructMany(  # type: ignore[override]
        self, requests: AsyncIterator[pb.ReconstructManyRequest], context: ManyContext
    ) -> None:
        """Many photos over one stream; see the contract."""
        # gRPC allows one write at a time; the lock also makes all photos wait for a slow reader.
        writing = asyncio.Lock()
        places = asyncio.Semaphore(self._max_stream_photos)
        open_ids: set[str] = set()
        deadline = _deadline(context)
        photos = aiter(requests)

        async def send(message: pb.ReconstructManyResponse) -> None:
            async with writing:
                await context.write(message)

        async def serve(message: pb.ReconstructManyRequest) -> None:
            request_id = message.request_id
            try:
                await self._photo(
                    "ReconstructMany",
                    message.request,
                    deadline,
                    lambda event: send(_with_id(request_id, event)),
                )
            except ClientGone:
                pass
            except ProtomeError as error:
                event = pb.ReconstructManyResponse(
                    request_id=request_id, error=status.as_message(error)
                )
                await send(event)
            finally:
                open_ids.discard(request_id)
                places.release()

        async with asyncio.TaskGroup() as group:
            while True:
                # Reading waits for a place: that is the flow control towards the client.
                await places.acquire()
                message = await anext(photos, None)
                if message is None:
                    break
                problem = _bad_id(message.request_id, open_ids)
                if problem is not None:
                    # Which photo an answer belongs to could no longer be told: the stream ends.
                    await _abort(context, problem)
                open_ids.add(message.request_id)
                group.create_task(serve(message))

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: InfoContext
    ) -> pb.GetServerInfoResponse:
        """What this server is; see the contract."""
        del request, context
        return self._info

    async def _photo(
        self, method: str, message: pb.ReconstructRequest, deadline: float, send: Send
    ) -> None:
        """Take one photo down the line and count it."""
        began = time.monotonic()
        outcome = grpc.StatusCode.CANCELLED
        self._metrics.began()
        try:
            # Not len(image): reading the field would copy the photo.
            self._admit(message.ByteSize())
            self._photos += 1
            self._idle.clear()
            try:
                request = self._wire.request(message, deadline)
                # gRPC keeps its copy of the photo as long as the call lasts.
                with self._budget.hold(len(request.image)):
                    emit = self._emitter(method, request, began, send)
                    await self._line.reconstruct(request, emit)
            finally:
                self._photos -= 1
                if not self._photos:
                    self._idle.set()
            outcome = grpc.StatusCode.OK
        except ProtomeError as error:
            outcome = _late(status.code(error), deadline)
            if not isinstance(error, NoFaceFound | InvalidRequest | ClientGone):
                log.info("%s: %s: %s", method, error.reason, error.message)
            raise
        except asyncio.CancelledError:
            outcome = _late(outcome, deadline)
            raise
        except Exception:
            outcome = grpc.StatusCode.INTERNAL
            log.exception("%s failed", method)
            raise Internal("a defect in the server; it is in its log") from None
        finally:
            self._metrics.ended(method, outcome.name, time.monotonic() - began)

    def _admit(self, size: int) -> None:
        if self._draining:
            raise Draining("the server is shutting down")
        if self._photos >= self._max_requests:
            raise Overloaded(
                f"{self._photos} photos are being worked on", max_requests=self._max_requests
            )
        if not self._budget.room(size):
            raise Overloaded(
                f"{self._budget.held} bytes are held for clients",
                max_held_bytes=self._budget.limit,
            )

    def _emitter(
        self, method: str, request: Request, began: float, send: Send
    ) -> Callable[[Event], Awaitable[None]]:
        """What the line tells its events: each becomes one message."""
        writing = asyncio.Lock()
        mesh_seen = False

        async def emit(event: Event) -> None:
            nonlocal mesh_seen
            message = self._message(event, request)
            try:
                async with writing, asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise ClientGone(f"nothing was read for {self._send_seconds} s") from None
            except Exception as error:
                # gRPC's own, of no public type: the call is over.
                raise ClientGone(f"the answer cannot be sent: {error!r}") from None
            if isinstance(event, MeshPiece) and not mesh_seen:
                mesh_seen = True
                self._metrics.first_mesh(method, time.monotonic() - began)

        return emit

    def _message(self, event: Event, request: Request) -> pb.ReconstructResponse:
        if isinstance(event, Photo):
            return pb.ReconstructResponse(header=self._wire.header(event, request))
        if isinstance(event, MeshPiece):
            return pb.ReconstructResponse(chunk=self._wire.chunk(event))
        return pb.ReconstructResponse(summary=self._wire.summary(event))


def _with_id(request_id: str, event: pb.ReconstructResponse) -> pb.ReconstructManyResponse:
    return pb.ReconstructManyResponse(
        request_id=request_id,
        header=event.header if event.HasField("header") else None,
        chunk=event.chunk if event.HasField("chunk") else None,
        summary=event.summary if event.HasField("summary") else None,
    )


def _deadline(context: ReconstructContext | ManyContext) -> float:
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


def _bad_id(request_id: str, open_ids: set[str]) -> InvalidRequest | None:
    if 1 <= len(request_id) <= MAX_ID and request_id not in open_ids:
        return None
    return InvalidRequest(
        f"request_id must have 1 to {MAX_ID} characters and not be in use", field="request_id"
    )


def _late(code: grpc.StatusCode, deadline: float) -> grpc.StatusCode:
    """The code to count: gRPC ends a call at its deadline before we can."""
    gone = code is grpc.StatusCode.CANCELLED
    late = time.monotonic() >= deadline - CLOCK_SLACK
    return grpc.StatusCode.DEADLINE_EXCEEDED if gone and late else code


async def _abort(context: ReconstructContext | ManyContext, error: ProtomeError) -> NoReturn:
    try:
        await context.abort(status.code(error), error.message, status.trailers(error))
    except grpc.aio.AbortError:
        raise
    except Exception:
        # There is no call any more to end.
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")
