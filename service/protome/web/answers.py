"""Turn the events of a photo into the body of a response: a file, JSON, multipart or events."""

from __future__ import annotations

import base64
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from protome.errors import ClientGone, ProtomeError
from protome.v1 import reconstruction_pb2 as pb

from .accept import EVENTS, JSON, MESH_TYPES, MULTIPART, SUFFIXES
from .problems import PROBLEM, describe, plain_problem
from .reply import Reply

UNKNOWN_TYPE: Final = "application/octet-stream"
# Bytes of a mesh that are written at a time: a whole one would be copied several times. A multiple
# of 3, so that base64 needs no padding in between.
PIECE: Final = 3 << 17


class Answer(ABC):
    """The body of one response.

    Args:
        reply: where it is written.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    @abstractmethod
    async def event(self, event: pb.ReconstructResponse) -> None:
        """Write an event of the contract."""

    async def fail(self, error: ProtomeError) -> None:
        """Answer with an error."""
        await self.reply.fail(error)


class MeshFile(Answer):
    """One mesh, written as it comes; a problem if the face has none."""

    _header = pb.Header()

    async def event(self, event: pb.ReconstructResponse) -> None:
        """Write an event of the contract."""
        if event.HasField("header"):
            self._header = event.header
        elif event.HasField("chunk"):
            if event.chunk.sequence == 0:
                await self._start(event.chunk.total_size)
            await self.reply.write(event.chunk.data)
        elif self.reply.started:
            await self.reply.end()
        else:
            await self._refuse(event.summary)

    async def _start(self, size: int) -> None:
        form = self._header.format
        headers = [
            ("content-type", MESH_TYPES.get(form, UNKNOWN_TYPE)),
            ("content-length", str(size)),
            ("content-disposition", f'inline; filename="face.{SUFFIXES.get(form, "bin")}"'),
            ("protome-faces", str(len(self._header.faces))),
        ]
        await self.reply.start(200, headers)

    async def _refuse(self, summary: pb.Summary) -> None:
        """Send status 422 with the outcome of the face as the reason."""
        outcome, detail = self._header.faces[0].outcome, "the face is too small"
        if summary.faces:
            outcome, detail = summary.faces[0].outcome, summary.faces[0].message
        reason = pb.FaceOutcome.Name(outcome).removeprefix("FACE_OUTCOME_")
        await self.reply.refuse(
            422, [("content-type", PROBLEM)], plain_problem(422, detail, reason=reason)
        )


class WholeMeshes(Answer):
    """Collects the chunks of each mesh; what is written begins with the first whole one.

    A photo that fails before ends with the status of its error.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._header = pb.Header()
        self._parts: dict[tuple[int, int], list[bytes]] = {}

    async def event(self, event: pb.ReconstructResponse) -> None:
        """Write an event of the contract."""
        if event.HasField("header"):
            self._header = event.header
            return
        chunk = event.chunk if event.HasField("chunk") else None
        if chunk is not None:
            self._parts.setdefault((chunk.face_index, chunk.detail), []).append(chunk.data)
            if not chunk.last:
                return
        if not self.reply.started:
            await self.begin(self._header)
        if chunk is None:
            await self.finish(event.summary)
            await self.reply.end()
        else:
            key = chunk.face_index, chunk.detail
            await self.mesh(chunk, b"".join(self._parts.pop(key)))

    @property
    def media_type(self) -> str:
        """Media type of the meshes."""
        return MESH_TYPES.get(self._header.format, UNKNOWN_TYPE)

    @abstractmethod
    async def begin(self, header: pb.Header) -> None:
        """Start the response."""

    @abstractmethod
    async def mesh(self, last: pb.MeshChunk, data: bytes) -> None:
        """Write a mesh, whose last chunk is ``last``."""

    @abstractmethod
    async def finish(self, summary: pb.Summary) -> None:
        """Write the end."""


class JsonDocument(WholeMeshes):
    """One object: header, meshes in base64, summary."""

    _separator = ""

    async def begin(self, header: pb.Header) -> None:
        """Start the response."""
        await self.reply.start(200, [("content-type", JSON)])
        await self.reply.write(b'{"header":%s,"meshes":[' % to_json(header).encode())

    async def mesh(self, last: pb.MeshChunk, data: bytes) -> None:
        """Write a mesh, whose last chunk is ``last``."""
        facts = {
            "face_index": last.face_index,
            "detail": pb.DetailLevel.Name(last.detail),
            "media_type": self.media_type,
        }
        head = f'{self._separator}{json.dumps(facts)[:-1]}, "data": "'
        await self.reply.write(head.encode())
        for piece in _pieces(data):
            await self.reply.write(base64.b64encode(piece))
        await self.reply.write(b'"}')
        self._separator = ","

    async def finish(self, summary: pb.Summary) -> None:
        """Write the end."""
        await self.reply.write(b'],"summary":%s}' % to_json(summary).encode())


class Multipart(WholeMeshes):
    """A part with the header, one for each mesh, one with the summary (RFC 2046)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._boundary = secrets.token_hex(16)

    async def begin(self, header: pb.Header) -> None:
        """Start the response."""
        await self.reply.start(200, [("content-type", f'{MULTIPART}; boundary="{self._boundary}"')])
        await self._part("header", JSON, to_json(header).encode())

    async def mesh(self, last: pb.MeshChunk, data: bytes) -> None:
        """Write a mesh, whose last chunk is ``last``."""
        level = pb.DetailLevel.Name(last.detail).removeprefix("DETAIL_LEVEL_").lower()
        suffix = SUFFIXES.get(self._header.format, "bin")
        await self._part(f"face_{last.face_index}_{level}.{suffix}", self.media_type, data)

    async def finish(self, summary: pb.Summary) -> None:
        """Write the end."""
        await self._part("summary", JSON, to_json(summary).encode())
        await self.reply.write(b"--%s--\r\n" % self._boundary.encode())

    async def _part(self, name: str, kind: str, data: bytes) -> None:
        head = (
            f"--{self._boundary}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n"
            f'content-disposition: attachment; filename="{name}"\r\n\r\n'
        )
        await self.reply.write(head.encode())
        for piece in _pieces(data):
            await self.reply.write(piece)
        await self.reply.write(b"\r\n")


class EventStream(Answer):
    """Server-sent events: those of the contract as they happen, and ``error`` if it fails."""

    async def event(self, event: pb.ReconstructResponse) -> None:
        """Write an event of the contract."""
        name = event.WhichOneof("event")
        assert name is not None
        if not self.reply.started:
            await self._start()
        await self._write(name, to_json(getattr(event, name)))
        if name == "summary":
            await self.reply.end()

    async def fail(self, error: ProtomeError) -> None:
        """Answer with an error, as an event if the response has begun."""
        if not self.reply.started or isinstance(error, ClientGone):
            await self.reply.fail(error)
            return
        await self._write("error", json.dumps(describe(error)))
        await self.reply.end()

    async def _start(self) -> None:
        # Ask proxies not to wait for more.
        headers = [("content-type", EVENTS), ("x-accel-buffering", "no")]
        await self.reply.start(200, headers)

    async def _write(self, name: str, data: str) -> None:
        await self.reply.write(f"event: {name}\ndata: {data}\n\n".encode())


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))


def answer_as(kind: str, reply: Reply) -> Answer:
    """Return the answer of a media type."""
    kinds: dict[str, type[Answer]] = {
        JSON: JsonDocument,
        MULTIPART: Multipart,
        EVENTS: EventStream,
    }
    return kinds.get(kind, MeshFile)(reply)


def to_json(message: Message) -> str:
    """Return a message in the JSON mapping of protobuf, with the names of the contract."""
    fields: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(fields, separators=(",", ":"))
