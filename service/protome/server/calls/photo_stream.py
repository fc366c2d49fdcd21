"""Answer the photos of one ReconstructMany stream: several at a time, as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from protome.config import Config
from protome.errors import ClientGone, InvalidRequest, ProtomeError
from protome.telemetry.context import Call
from protome.v1 import reconstruction_pb2 as pb

from . import status
from .parse_request import parse_message
from .photo_call import PhotoCalls
from .respond import LOST_MESSAGE_SECONDS, Context, Write, deadline_of

MAX_ID_CHARACTERS: Final = 128


class PhotoStream:
    """One open stream.

    Args:
        config: the settings.
        photos: reconstructs the photos.
        context: of gRPC.
        call: the call that the stream is.
        write: sends a message.

    Attributes:
        deadline: of the stream, on ``time.monotonic``.
    """

    def __init__(
        self, config: Config, photos: PhotoCalls, context: Context, call: Call, write: Write
    ) -> None:
        self._photos = photos
        self._context = context
        self._call = call
        self._write = write
        self.deadline = deadline_of(context)
        self._receive_seconds = config.receive_seconds
        # gRPC allows one write at a time; the lock also makes all photos wait for a slow reader.
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(config.max_stream_photos)
        self._working: dict[str, asyncio.Task[None]] = {}
        self._gone: ClientGone | None = None

    async def serve(self) -> None:
        """Answer photos until the client has sent the last one.

        Raises:
            ProtomeError: the stream ends early.
        """
        problem: ProtomeError | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                # Reading waits for a place, which is the flow control towards the client.
                await self._places.acquire()
                try:
                    message = await self._next()
                    if message is None:
                        if not self._working:
                            await asyncio.sleep(LOST_MESSAGE_SECONDS)
                        break
                    _check_id(message.request_id, self._working)
                except (ClientGone, InvalidRequest) as error:
                    # The client no longer reads, or answers could not be matched to photos.
                    problem = error
                    for photo in self._working.values():
                        photo.cancel()
                    break
                self._working[message.request_id] = group.create_task(self._photo(message))
        if problem := problem or self._gone:
            raise problem

    async def _photo(self, message: pb.ReconstructManyRequest) -> None:
        try:
            await self._answer(message)
        except ClientGone as gone:
            self._gone = self._gone or gone
        finally:
            self._working.pop(message.request_id, None)
            self._places.release()

    async def _answer(self, message: pb.ReconstructManyRequest) -> None:
        """Send the events of a photo, or its error.

        Raises:
            ClientGone: the client does not read them.
        """
        request_id = message.request_id

        async def send(event: pb.ReconstructResponse) -> None:
            await self._send(_with_id(request_id, event))

        try:
            await self._photos.reconstruct(
                "ReconstructMany",
                replace(self._call, photo=request_id),
                message.request,
                self.deadline,
                send,
                stream=self._writing,
            )
        except ClientGone:
            raise
        except ProtomeError as error:
            event = pb.ReconstructManyResponse(
                request_id=request_id, error=status.as_message(error)
            )
            await self._photos.deliver(self._send, event)

    async def _send(self, message: pb.ReconstructManyResponse) -> None:
        async with self._writing:
            await self._write(message)

    async def _next(self) -> pb.ReconstructManyRequest | None:
        """Receive the next photo; None after the last.

        Raises:
            ClientGone: the client does not read answers, or sent no whole photo for
                ``receive_seconds`` while none was in progress: it may have stopped within one, and
                gRPC holds what it sent.
            InvalidRequest: the message cannot be parsed.
        """
        working = self._working.values()
        reading = asyncio.ensure_future(self._context.read())
        try:
            while not reading.done():
                if self._gone is not None:
                    raise self._gone
                # The time starts anew after each answer: until then the client may wait for it.
                seconds = None if working else self._receive_seconds
                done, _ = await asyncio.wait(
                    {reading, *working}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    raise ClientGone(f"no photo arrived for {self._receive_seconds} s")
        finally:
            reading.cancel()
        raw = reading.result()
        return parse_message(pb.ReconstructManyRequest, raw) if isinstance(raw, bytes) else None


def _with_id(request_id: str, event: pb.ReconstructResponse) -> pb.ReconstructManyResponse:
    return pb.ReconstructManyResponse(
        request_id=request_id,
        header=event.header if event.HasField("header") else None,
        chunk=event.chunk if event.HasField("chunk") else None,
        summary=event.summary if event.HasField("summary") else None,
    )


def _check_id(request_id: str, open_ids: Collection[str]) -> None:
    if not 1 <= len(request_id) <= MAX_ID_CHARACTERS or request_id in open_ids:
        raise InvalidRequest(
            f"request_id must have 1 to {MAX_ID_CHARACTERS} characters and not be in use",
            field="request_id",
            value=f"{len(request_id)} characters",
            max_characters=MAX_ID_CHARACTERS,
        )
