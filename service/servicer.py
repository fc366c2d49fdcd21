"""The gRPC methods: requests in, events of the line out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from . import status
from .answering import Context, Write, answering, deadline_of
from .auth import Client
from .budget import Budget
from .call import Call, running
from .errors import (
    ClientGone,
    Draining,
    Internal,
    InvalidRequest,
    Overloaded,
    ProtomeError,
)
from .line import Event, Line, MeshPiece, Request
from .metrics import Metrics
from .stages import Photo
from .uploads import Uploads
from .v1 import reconstruction_pb2 as pb
from .wire import Wire

log = logging.getLogger(__name__)

_CONTRACT: Final = pb.DESCRIPTOR.services_by_name["ReconstructionService"]
SERVICE: Final = _CONTRACT.full_name
METHODS: Final = frozenset(f"/{SERVICE}/{method.name}" for method in _CONTRACT.methods)
MAX_ID: Final = 128
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

M = TypeVar("M", bound=Message)
Send = Callable[[pb.ReconstructResponse], Awaitable[None]]


class Servicer:
    """Serves ``protome.v1.ReconstructionService``.

    Args:
        line: what reconstructs.
        wire: translates.
        metrics: counts.
        budget: bytes held for clients.
        info: the answer to GetServerInfo.
        max_requests: photos worked on at a time, over all calls.
        uploads: who may send.
        max_streams: ReconstructMany streams open at a time.
        max_stream_photos: photos of one ReconstructMany stream worked on at a time.
        send_seconds: how long a message may wait for the client to take it.
        receive_seconds: how long a photo may take to arrive, or a stream be idle.
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
        uploads: Uploads,
        max_streams: int,
        max_stream_photos: int,
        send_seconds: float,
        receive_seconds: float,
    ) -> None:
        self._line = line
        self._wire = wire
        self._metrics = metrics
        self._budget = budget
        self._info = info
        self._max_requests = max_requests
        self._max_streams = max_streams
        self._max_stream_photos = max_stream_photos
        self._send_seconds = send_seconds
        self._receive_seconds = receive_seconds
        self._uploads = uploads
        self._photos = 0
        self._taken = 0
        self._streams = 0
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

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """The methods for a server.

        Reconstruct is served as if photos were streamed, which on the wire is the same: so its
        message is read only when there is a place for it. All messages are parsed here, so that
        those that cannot be are an error of ours.
        """
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Reconstruct": grpc.stream_stream_rpc_method_handler(
                    self.Reconstruct, None, pb.ReconstructResponse.SerializeToString
                ),
                "ReconstructMany": grpc.stream_stream_rpc_method_handler(
                    self.ReconstructMany,
                    None,
                    pb.ReconstructManyResponse.SerializeToString,
                ),
                "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                    self.GetServerInfo,
                    None,
                    pb.GetServerInfoResponse.SerializeToString,
                ),
            },
        )

    async def Reconstruct(self, requests: object, context: Context) -> None:
        """One photo; see the contract."""
        del requests
        with self._working():
            await self._reconstruct(context)

    async def _reconstruct(self, context: Context) -> None:
        async with answering(context) as (call, write):
            # At once: gRPC reckons it with the wall clock, which may jump.
            deadline = deadline_of(context)
            try:
                message = await self._receive(context, call, deadline)
            except ProtomeError as error:
                self._metrics.turned_away("Reconstruct", status.code(error).name)
                raise
            await self._photo("Reconstruct", call, message, deadline, write)

    async def ReconstructMany(self, requests: object, context: Context) -> None:
        """Many photos over one stream; see the contract."""
        del requests
        async with answering(context) as (call, write):
            if self._streams >= self._max_streams:
                raise Overloaded(f"{self._streams} streams are open", max_streams=self._streams)
            self._streams += 1
            try:
                await self._photos_of(context, call, deadline_of(context), write)
            finally:
                self._streams -= 1

    async def GetServerInfo(self, request: bytes, context: Context) -> pb.GetServerInfoResponse:
        """What this server is; see the contract."""
        async with answering(context):
            _parsed(pb.GetServerInfoRequest, request)
            return self._info

    async def _receive(
        self, context: Context, call: Call, deadline: float
    ) -> pb.ReconstructRequest:
        """The one message of a call.

        Raises:
            ProtomeError: it is not taken in, or is none.
        """
        self._admit(0)
        self._line.check(deadline, call.client)
        raw = await self._uploads.read(context.read)
        if not isinstance(raw, bytes):
            raise InvalidRequest("the call has no message")
        # Before it is parsed, which copies the photo.
        self._admit(len(raw))
        return _parsed(pb.ReconstructRequest, raw)

    async def _photos_of(
        self,
        context: Context,
        call: Call,
        deadline: float,
        write: Write,
    ) -> None:
        """Serve the photos of a stream, several at a time."""
        # gRPC allows one write at a time; the lock also makes all photos wait for a slow reader.
        writing = asyncio.Lock()
        places = asyncio.Semaphore(self._max_stream_photos)
        working: dict[str, asyncio.Task[None]] = {}

        async def send(message: pb.ReconstructManyResponse) -> None:
            async with writing:
                await write(message)

        async def serve(message: pb.ReconstructManyRequest) -> None:
            request_id = message.request_id
            try:
                await self._photo(
                    "ReconstructMany",
                    replace(call, photo=request_id),
                    message.request,
                    deadline,
                    lambda event: send(_with_id(request_id, event)),
                    stream=writing,
                )
            except ClientGone:
                pass
            except ProtomeError as error:
                event = pb.ReconstructManyResponse(
                    request_id=request_id, error=status.as_message(error)
                )
                await send(event)
            finally:
                working.pop(request_id, None)
                places.release()

        problem: ProtomeError | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                # Reading waits for a place: that is the flow control towards the client.
                await places.acquire()
                try:
                    message = await self._next(context, working.values())
                    if message is None:
                        break
                    _check_id(message.request_id, working)
                except (ClientGone, Overloaded) as late:
                    problem = late
                    break
                except InvalidRequest as bad:
                    # Which photo an answer belongs to could no longer be told: the stream ends.
                    problem = bad
                    for photo in working.values():
                        photo.cancel()
                    break
                working[message.request_id] = group.create_task(serve(message))
        if problem is not None:
            raise problem

    async def _next(
        self, context: Context, working: Collection[asyncio.Task[None]]
    ) -> pb.ReconstructManyRequest | None:
        """The next photo of a stream, None after the last.

        Raises:
            ClientGone: none came for long, while none was in work: the client may have stopped in
                the middle of one, and gRPC holds that half.
            Overloaded: too much of others is held like that.
            InvalidRequest: it is none.
        """
        reading = asyncio.ensure_future(context.read())
        try:
            while not reading.done():
                seconds = None if working else self._receive_seconds
                # Anew with each photo that is answered: until then it was not the client's turn.
                with self._uploads.relieved(reading, working):
                    done, _ = await asyncio.wait(
                        {reading, *working}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                    )
                if not done:
                    raise ClientGone(f"no photo came for {self._receive_seconds} s")
        finally:
            reading.cancel()
        if reading.cancelled():
            raise Overloaded("the photo came too slowly while many others were sent")
        raw = reading.result()
        return _parsed(pb.ReconstructManyRequest, raw) if isinstance(raw, bytes) else None

    async def _photo(
        self,
        method: str,
        call: Call,
        message: pb.ReconstructRequest,
        deadline: float,
        send: Send,
        stream: Hashable = None,
    ) -> None:
        """Take one photo down the line and count it."""
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
                self._admit(message.ByteSize())
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

    @contextlib.contextmanager
    def _counted(self, client: Client | None) -> Iterator[None]:
        """Count a photo as being worked on, for the server and for its client.

        Raises:
            OverQuota: it is too much for the client.
        """
        with contextlib.nullcontext() if client is None else client.photo(), self._working():
            self._photos += 1
            self._taken += 1
            try:
                yield
            finally:
                self._photos -= 1

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Something that is not to be left unfinished."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    def _admit(self, size: int) -> None:
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


def _parsed(kind: type[M], raw: bytes) -> M:
    """A message of this kind.

    Raises:
        InvalidRequest: the bytes are none.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise InvalidRequest(f"the message is no {kind.DESCRIPTOR.name}") from None


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


def _with_id(request_id: str, event: pb.ReconstructResponse) -> pb.ReconstructManyResponse:
    return pb.ReconstructManyResponse(
        request_id=request_id,
        header=event.header if event.HasField("header") else None,
        chunk=event.chunk if event.HasField("chunk") else None,
        summary=event.summary if event.HasField("summary") else None,
    )


def _check_id(request_id: str, open_ids: Collection[str]) -> None:
    if not 1 <= len(request_id) <= MAX_ID or request_id in open_ids:
        raise InvalidRequest(
            f"request_id must have 1 to {MAX_ID} characters and not be in use", field="request_id"
        )


def _late(code: grpc.StatusCode, deadline: float) -> grpc.StatusCode:
    """The code to count: gRPC ends a call at its deadline before we can."""
    gone = code is grpc.StatusCode.CANCELLED
    late = time.monotonic() >= deadline - CLOCK_SLACK
    return grpc.StatusCode.DEADLINE_EXCEEDED if gone and late else code
