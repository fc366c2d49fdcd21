"""One photo of a call: whether it is taken in, its way down the line, how it is counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import replace
from typing import Final, TypeVar

import grpc

from protome.errors import ClientGone, Draining, Internal, Overloaded, ProtomeError
from protome.image.prepare import PreparedPhoto
from protome.pipeline.pipeline import Pipeline
from protome.pipeline.request import Event, MeshPiece, Request
from protome.scheduling.budget import Budget
from protome.telemetry.context import Call, Tenant, running
from protome.telemetry.metrics import Metrics
from protome.v1 import reconstruction_pb2 as pb

from . import status
from .convert import Wire

log = logging.getLogger(__name__)

# How much earlier than our reckoning gRPC may end a call at its deadline, seconds.
CLOCK_SLACK: Final = 0.05
# What gRPC may take to hand over the calls that it has taken in, seconds.
HANDOVER: Final = 0.1
# Statuses that are not the client's doing.
OURS: Final = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
)

M = TypeVar("M")
Send = Callable[[pb.ReconstructResponse], Awaitable[None]]


class Reception:
    """Takes photos in and sees them answered.

    Args:
        line: what reconstructs.
        wire: translates.
        metrics: counts.
        budget: bytes held for clients.
        max_requests: photos worked on at a time, over all calls.
        send_seconds: how long a message may wait for the client to take it.
    """

    def __init__(
        self,
        *,
        line: Pipeline,
        wire: Wire,
        metrics: Metrics,
        budget: Budget,
        max_requests: int,
        send_seconds: float,
    ) -> None:
        self._line = line
        self._wire = wire
        self._metrics = metrics
        self._budget = budget
        self._max_requests = max_requests
        self._send_seconds = send_seconds
        self._photos = 0
        self._taken = 0
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def idle(self) -> bool:
        """Whether no photo is being received or worked on."""
        return self._idle.is_set()

    @property
    def taken(self) -> int:
        """Photos that were begun, ever."""
        return self._taken

    async def drain(self, seconds: float) -> None:
        """Finish: returns when all is answered, or after ``seconds``.

        Calls that came in before clients were told to go elsewhere are answered, those whose photo
        is still on its way too; streams, which may be endless, bring no new photos.
        """
        self._draining = True
        self._line.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.sleep(HANDOVER)
                await self._idle.wait()

    def admit(self, size: int) -> None:
        """Look at a message of so many bytes, as far as they are known.

        Raises:
            Overloaded: it is one too many.
        """
        if self._photos >= self._max_requests:
            raise Overloaded(
                f"{self._photos} photos are being worked on", max_requests=self._max_requests
            )
        if not self._budget.room(size):
            raise Overloaded(
                f"{self._budget.held} bytes are held for clients",
                max_held_bytes=self._budget.limit,
            )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Something that is not to be left unfinished."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def photo(
        self,
        method: str,
        call: Call,
        message: pb.ReconstructRequest,
        deadline: float,
        send: Send,
        stream: Hashable = None,
    ) -> None:
        """Take one photo down the line and count it.

        Args:
            method: by which it came.
            call: that it belongs to.
            message: the photo, and what is wanted of it.
            deadline: on ``time.monotonic``.
            send: an event of the answer.
            stream: photos of one stream take turns with those of others.

        Raises:
            ProtomeError: how it ends, if not well.
        """
        began = time.monotonic()
        outcome = grpc.StatusCode.CANCELLED
        problem: ProtomeError | None = None
        self._metrics.began()
        with running(replace(call, span=call.span.child("photo"))) as photo:
            try:
                if self._draining and stream is not None:
                    raise Draining("the server is shutting down")
                # A stream may stay open for days.
                call.recheck()
                # Not len(image): reading the field would copy the photo.
                self.admit(message.ByteSize())
                with self._counted(call.client):
                    # Photos of one client take turns with those of others.
                    request = self._wire.request(message, deadline, stream or call.client)
                    # gRPC keeps its copy of the photo as long as the call lasts.
                    with self._budget.hold(len(request.image)):
                        emit = self._emitter(method, request, began, send)
                        await self._line.reconstruct(request, emit)
                outcome = grpc.StatusCode.OK
            except ProtomeError as error:
                outcome, problem = _late(status.code(error), deadline), error
                raise
            except asyncio.CancelledError:
                outcome = _late(outcome, deadline)
                raise
            except Exception:
                outcome = grpc.StatusCode.INTERNAL
                log.exception("%s failed", method)
                raise Internal("a defect in the server; it is in its log") from None
            finally:
                seconds = time.monotonic() - began
                self._metrics.ended(method, outcome.name, seconds)
                photo.span.end(outcome.name)
                _log(method, outcome, problem, seconds)

    async def deliver(self, send: Callable[[M], Awaitable[None]], message: M) -> None:
        """Send a message.

        Raises:
            ClientGone: it is not taken.
        """
        try:
            async with asyncio.timeout(self._send_seconds):
                await send(message)
        except TimeoutError:
            raise ClientGone(f"nothing was read for {self._send_seconds} s") from None
        except Exception as error:
            # gRPC's own, of no public type: the call is over.
            raise ClientGone(f"the answer cannot be sent: {error!r}") from None

    @contextlib.contextmanager
    def _counted(self, client: Tenant | None) -> Iterator[None]:
        """Count a photo as being worked on, for the server and for its client.

        Raises:
            OverQuota: it is too much for the client.
        """
        with contextlib.nullcontext() if client is None else client.photo(), self.working():
            self._photos += 1
            self._taken += 1
            try:
                yield
            finally:
                self._photos -= 1

    def _emitter(
        self, method: str, request: Request, began: float, send: Send
    ) -> Callable[[Event], Awaitable[None]]:
        """What the line tells its events: each becomes one message."""
        writing = asyncio.Lock()
        mesh_seen = False

        async def emit(event: Event) -> None:
            nonlocal mesh_seen
            message = self._message(event, request)
            async with writing:
                await self.deliver(send, message)
            if isinstance(event, MeshPiece) and not mesh_seen:
                mesh_seen = True
                self._metrics.first_mesh(method, time.monotonic() - began)

        return emit

    def _message(self, event: Event, request: Request) -> pb.ReconstructResponse:
        if isinstance(event, PreparedPhoto):
            return pb.ReconstructResponse(header=self._wire.header(event, request))
        if isinstance(event, MeshPiece):
            return pb.ReconstructResponse(chunk=self._wire.chunk(event))
        return pb.ReconstructResponse(summary=self._wire.summary(event))


def _log(method: str, code: grpc.StatusCode, problem: ProtomeError | None, seconds: float) -> None:
    """A line for each photo."""
    facts = {"method": method, "code": code.name, "seconds": round(seconds, 4)}
    if problem is None:
        log.info("%s %s in %.3f s", method, code.name, seconds, extra=facts)
        return
    facts["reason"] = problem.reason
    # What a decoder says of a broken picture may quote it.
    said = f": {problem.message}" if code in OURS else ""
    log.info("%s %s %s%s", method, code.name, problem.reason, said, extra=facts)


def _late(code: grpc.StatusCode, deadline: float) -> grpc.StatusCode:
    """The code to count: gRPC ends a call at its deadline before we can."""
    gone = code is grpc.StatusCode.CANCELLED
    late = time.monotonic() >= deadline - CLOCK_SLACK
    return grpc.StatusCode.DEADLINE_EXCEEDED if gone and late else code
