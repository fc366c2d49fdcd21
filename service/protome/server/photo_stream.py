"""The photos of one ReconstructMany stream: several at a time, answered as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from protome.errors import ClientGone, InvalidRequest, ProtomeError
from protome.telemetry.context import Call
from protome.v1 import reconstruction_pb2 as pb

from . import status
from .parse_request import parsed
from .photo_call import Reception
from .respond import Context, Write

MAX_ID: Final = 128


class PhotoStream:
    """One open stream.

    Args:
        reception: takes its photos.
        context, call: of gRPC.
        write: sends a message.
        deadline: of all its photos, on ``time.monotonic``.
        max_photos: worked on at a time.
        receive_seconds: how long it may be idle.
    """

    def __init__(
        self,
        *,
        reception: Reception,
        context: Context,
        call: Call,
        write: Write,
        deadline: float,
        max_photos: int,
        receive_seconds: float,
    ) -> None:
        self._reception = reception
        self._context = context
        self._call = call
        self._write = write
        self._deadline = deadline
        self._receive_seconds = receive_seconds
        # gRPC allows one write at a time; the lock also makes all photos wait for a slow reader.
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(max_photos)
        self._working: dict[str, asyncio.Task[None]] = {}
        self._gone: ClientGone | None = None

    async def serve(self) -> None:
        """Until the client has sent its last photo and all are answered.

        Raises:
            ProtomeError: the stream ends early.
        """
        problem: ProtomeError | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                # Reading waits for a place: that is the flow control towards the client.
                await self._places.acquire()
                try:
                    message = await self._next()
                    if message is None:
                        break
                    _check_id(message.request_id, self._working)
                except (ClientGone, InvalidRequest) as end:
                    # Nobody reads, or which photo an answer belongs to could no longer be told.
                    problem = end
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
        """Send a photo's events, or why there are none.

        Raises:
            ClientGone: they are not taken.
        """
        request_id = message.request_id
        try:
            await self._reception.photo(
                "ReconstructMany",
                replace(self._call, photo=request_id),
                message.request,
                self._deadline,
                lambda event: self._send(_with_id(request_id, event)),
                stream=self._writing,
            )
        except ClientGone:
            raise
        except ProtomeError as error:
            event = pb.ReconstructManyResponse(
                request_id=request_id, error=status.as_message(error)
            )
            await self._reception.deliver(self._send, event)

    async def _send(self, message: pb.ReconstructManyResponse) -> None:
        async with self._writing:
            await self._write(message)

    async def _next(self) -> pb.ReconstructManyRequest | None:
        """The next photo, None after the last.

        Raises:
            ClientGone: answers are not read; or none came for long, while none was in work: the
                client may have stopped in the middle of one, and gRPC holds that half.
            InvalidRequest: it is none.
        """
        working = self._working.values()
        reading = asyncio.ensure_future(self._context.read())
        try:
            while not reading.done():
                if self._gone is not None:
                    raise self._gone
                seconds = None if working else self._receive_seconds
                # Anew with each photo that is answered: until then it was not the client's turn.
                done, _ = await asyncio.wait(
                    {reading, *working}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    raise ClientGone(f"no photo came for {self._receive_seconds} s")
        finally:
            reading.cancel()
        raw = reading.result()
        return parsed(pb.ReconstructManyRequest, raw) if isinstance(raw, bytes) else None


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
