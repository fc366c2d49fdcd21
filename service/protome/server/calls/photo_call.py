"""Admit photos, run them through the pipeline, send the events, count the results."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import grpc

from protome.config import Config
from protome.errors import ClientGone, Draining, Internal, Overloaded, ProtomeError
from protome.image.prepare import PreparedPhoto
from protome.pipeline.pipeline import Pipeline
from protome.pipeline.request import Event, MeshPiece, Request
from protome.scheduling.budget import Budget
from protome.telemetry.context import Call, Tenant, running
from protome.telemetry.metrics import Metrics
from protome.v1 import reconstruction_pb2 as pb

from . import status
from .convert import Converter
from .results import log_result, status_to_count

log = logging.getLogger(__name__)

# gRPC may need this long to hand over calls that it has accepted.
HANDOVER_SECONDS: Final = 0.1

M = TypeVar("M")
Send = Callable[[pb.ReconstructResponse], Awaitable[None]]


class PhotoCalls:
    """Admit and answer the photos of all calls.

    Args:
        config: the settings.
        pipeline: reconstructs the photos.
        converter: converts requests and events.
        metrics: counts the results.
        budget: bytes held for clients.
    """

    def __init__(
        self,
        config: Config,
        pipeline: Pipeline,
        converter: Converter,
        metrics: Metrics,
        budget: Budget,
    ) -> None:
        self._config = config
        self._pipeline = pipeline
        self._converter = converter
        self._metrics = metrics
        self._budget = budget
        self._photos = 0
        self._finished = 0
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def idle(self) -> bool:
        """Whether no photo is being received or processed."""
        return self._idle.is_set()

    @property
    def finished(self) -> int:
        """Number of photos processed since the start, whatever their result."""
        return self._finished

    async def drain(self, seconds: float) -> None:
        """Wait until all photos are answered, but at most ``seconds``.

        Calls that the server had accepted are answered, even if their photo is still being sent.
        Streams, which may stay open without end, may not start new photos.
        """
        self._draining = True
        self._pipeline.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.sleep(HANDOVER_SECONDS)
                await self._idle.wait()

    def check(self, deadline: float, tenant: Tenant | None) -> None:
        """Check, before a photo is received, that it can be admitted and done in time.

        Args:
            deadline: on ``time.monotonic``.
            tenant: the client whose token the call has.

        Raises:
            Overloaded: the server has no room, or too much work before the deadline.
        """
        self.admit(0)
        self._pipeline.check(deadline, tenant)

    def admit(self, size: int) -> None:
        """Check that the server has room for one more photo.

        Args:
            size: bytes of its message.

        Raises:
            Overloaded: there are too many photos, or too many bytes are held.
        """
        limit = self._config.max_requests
        if self._photos >= limit:
            raise Overloaded(f"{self._photos} photos are in progress", max_requests=limit)
        if not self._budget.room(size):
            raise Overloaded(
                f"{self._budget.held} bytes are held for clients",
                max_held_bytes=self._budget.limit,
            )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Make :meth:`drain` wait until the block ends."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def reconstruct(
        self,
        method: str,
        call: Call,
        message: pb.ReconstructRequest,
        deadline: float,
        send: Send,
        stream: Hashable = None,
    ) -> None:
        """Reconstruct one photo, send its events, count and log the result.

        Args:
            method: name of the method in the contract.
            call: the call that the photo belongs to.
            message: the request.
            deadline: on ``time.monotonic``.
            send: sends one event to the client.
            stream: identifies the stream; streams take turns. None for a photo of its own call.

        Raises:
            ProtomeError: the photo was refused or failed.
        """
        began = time.monotonic()
        outcome = grpc.StatusCode.CANCELLED
        problem: ProtomeError | None = None
        progress = _Progress(began)
        self._metrics.began()
        with running(replace(call, span=call.span.child("photo"))) as photo:
            try:
                if self._draining and stream is not None:
                    raise Draining("the server is shutting down")
                # A stream may stay open for days.
                call.recheck()
                # Not len(image): reading the field would copy the photo.
                self.admit(message.ByteSize())
                with self._counted(call.tenant):
                    # Without a stream, clients take turns by their token.
                    request = self._converter.request(message, deadline, stream or call.tenant)
                    # gRPC keeps its copy of the photo as long as the call lasts.
                    with self._budget.hold(len(request.image)):
                        emit = self._emitter(call.protocol, method, request, progress, send)
                        await self._pipeline.reconstruct(request, emit)
                outcome = grpc.StatusCode.OK
            except ProtomeError as error:
                outcome, problem = status_to_count(status.code(error), deadline), error
                raise
            except asyncio.CancelledError:
                outcome = status_to_count(outcome, deadline)
                raise
            except Exception:
                log.exception("%s failed", method)
                problem = Internal("internal error; see the server's log")
                outcome = status.code(problem)
                raise problem from None
            finally:
                seconds = time.monotonic() - began
                reason = _reason(problem)
                self._metrics.ended(call.protocol, method, outcome.name, reason, seconds)
                photo.span.end(outcome.name)
                log_result(call.protocol, method, outcome, problem, seconds, progress.faces)

    def refused(self, protocol: str, method: str, error: ProtomeError) -> None:
        """Count and log a photo that is refused before its message has arrived."""
        code = status.code(error)
        self._metrics.refused(protocol, method, code.name, error.reason)
        log_result(protocol, method, code, error)

    def incomplete(self, method: str, deadline: float) -> None:
        """Count and log a photo whose gRPC call ended before its message had arrived.

        gRPC reports this in the same way if the client left and if the message is over its limit;
        in the second case the client gets RESOURCE_EXHAUSTED from gRPC itself.
        """
        code = status_to_count(grpc.StatusCode.CANCELLED, deadline)
        limit = self._config.max_message_bytes
        error = ClientGone("the message did not arrive", max_message_bytes=limit)
        self._metrics.refused("grpc", method, code.name, error.reason)
        log_result("grpc", method, code, error)

    async def deliver(self, send: Callable[[M], Awaitable[None]], message: M) -> None:
        """Send a message.

        Raises:
            ClientGone: the client does not read it within ``send_seconds``, or the call is over.
        """
        seconds = self._config.send_seconds
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            raise ClientGone(f"the client read nothing for {seconds} s") from None
        except Exception as error:
            # gRPC raises errors without a public type when the call is over.
            raise ClientGone(f"the response cannot be sent: {error!r}") from None

    @contextlib.contextmanager
    def _counted(self, tenant: Tenant | None) -> Iterator[None]:
        """Count a photo as in progress, for the server and for its tenant.

        Raises:
            OverQuota: the tenant's quota is used up.
        """
        quota = contextlib.nullcontext() if tenant is None else tenant.admit_photo()
        with quota, self.working():
            self._photos += 1
            try:
                yield
            finally:
                self._photos -= 1
                self._finished += 1

    def _emitter(
        self, protocol: str, method: str, request: Request, progress: _Progress, send: Send
    ) -> Callable[[Event], Awaitable[None]]:
        """Return the function that sends each event of the pipeline as one message."""
        writing = asyncio.Lock()

        async def emit(event: Event) -> None:
            message = self._converter.response(event, request)
            async with writing:
                await self.deliver(send, message)
            if isinstance(event, PreparedPhoto):
                progress.faces = len(event.faces)
            elif isinstance(event, MeshPiece) and not progress.mesh_sent:
                progress.mesh_sent = True
                self._metrics.first_mesh(protocol, method, time.monotonic() - progress.began)

        return emit


@dataclass(slots=True)
class _Progress:
    """What has been sent of the answer to a photo.

    Attributes:
        began: when the photo was received, on ``time.monotonic``.
        faces: number of faces in the header.
        mesh_sent: whether the first piece of a mesh was sent.
    """

    began: float
    faces: int | None = None
    mesh_sent: bool = False


def _reason(problem: ProtomeError | None) -> str:
    return "" if problem is None else problem.reason
