"""Clients for backend services, blocking and asyncio.

with Client("localhost:50051") as client:
    result = client.reconstruct(photo_bytes)
    result.faces[0].mesh  # the bytes of a GLB file
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

import grpc
import numpy as np
import numpy.typing as npt
from google.rpc import error_details_pb2, status_pb2

from .v1 import reconstruction_pb2 as pb
from .v1 import reconstruction_pb2_grpc as pb_grpc

MIB: Final = 1 << 20
_OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
]
_DETAILS_KEY: Final = "grpc-status-details-bin"

Level = Literal["preview", "standard", "fine"]
Format = Literal["glb", "ply", "obj", "stl"]
Compression = Literal["none", "draco", "meshopt"]
Appearance = Literal["none", "vertex_colours", "texture"]


class ReconstructionError(Exception):
    """The server answered with a failure.

    Attributes:
        code: gRPC status code.
        reason: machine-readable, such as ``BROKEN_IMAGE``; empty if the failure is gRPC's own.
        facts: such as the limit that was passed.
        retry_seconds: when to try again, or None.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.facts = dict(facts or {})
        self.retry_seconds = retry_seconds


class NoFaceFound(ReconstructionError):
    """The photo is fine but shows no face."""


class CorruptAnswer(Exception):
    """The bytes that came are not those the server sent."""


@dataclass(slots=True)
class Face:
    """A face of the photo.

    Attributes:
        index: its number in the photo, largest face first.
        box: (x, y, width, height) in photo pixels.
        score: detector's confidence, 0 to 1.
        outcome: RECONSTRUCTED, or why there is no mesh, as in protome.v1.FaceOutcome.
        message: more about that, for a person.
        mesh_to_photo: (4, 4) from mesh metres to photo pixels; None if the face was left out.
        mesh: the mesh file, empty if there is none.
        preview: the PREVIEW mesh, if one was asked for.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    outcome: str
    message: str = ""
    mesh_to_photo: npt.NDArray[np.float64] | None = None
    mesh: bytes = b""
    preview: bytes = b""


@dataclass(slots=True)
class Reconstruction:
    """The answer to one photo; ``header`` and ``summary`` are the contract's messages."""

    header: pb.Header
    faces: list[Face]
    summary: pb.Summary = field(default_factory=pb.Summary)


class Assembler:
    """Puts the events of an answer together, for clients of their own making.

    Feed it each event; ``result`` is complete once ``done``.
    """

    def __init__(self) -> None:
        self.result: Reconstruction | None = None
        self.done = False
        self._parts: dict[tuple[int, int], bytearray] = {}

    def feed(self, event: pb.ReconstructResponse | pb.ReconstructManyResponse) -> None:
        """Take the next event.

        Raises:
            CorruptAnswer: events are missing or a digest is wrong.
        """
        if event.HasField("header"):
            faces = [_face(face) for face in event.header.faces]
            self.result = Reconstruction(event.header, faces)
        elif event.HasField("chunk"):
            chunk = event.chunk
            part = self._parts.setdefault((chunk.face_index, chunk.detail), bytearray())
            part += chunk.data
        elif event.HasField("summary"):
            self._close(event.summary)

    def _close(self, summary: pb.Summary) -> None:
        if self.result is None:
            raise CorruptAnswer("a summary came before the header")
        self.result.summary = summary
        for report in summary.faces:
            face = self.result.faces[report.face_index]
            face.outcome = _outcome(report.outcome)
            face.message = report.message
            for mesh in report.meshes:
                data = bytes(self._parts.get((report.face_index, mesh.detail), b""))
                if hashlib.sha256(data).digest() != mesh.sha256:
                    raise CorruptAnswer(f"the mesh of face {face.index} has a wrong digest")
                if mesh.detail == self.result.header.detail:
                    face.mesh = data
                else:
                    face.preview = data
        self.done = True


def make_request(
    image: bytes,
    *,
    boxes: Sequence[tuple[float, float, float, float]] = (),
    max_faces: int = 0,
    detail: Level = "standard",
    formats: Sequence[Format] = ("glb",),
    compressions: Sequence[Compression] = (),
    appearance: Appearance = "texture",
    preview_first: bool = False,
) -> pb.ReconstructRequest:
    """A request message.

    Args:
        image: JPEG, PNG or WebP file.
        boxes: (x, y, width, height) in photo pixels; empty: the server detects faces.
        max_faces: at most this many; 0: the server's limit.
        detail: level of detail.
        formats: formats you can read.
        compressions: GLB compressions you can read.
        appearance: where colour comes from.
        preview_first: send a small mesh first.
    """
    return pb.ReconstructRequest(
        image=image,
        boxes=[pb.BoundingBox(x=x, y=y, width=w, height=h) for x, y, w, h in boxes],
        max_faces=max_faces,
        detail=pb.DetailLevel.Value(f"DETAIL_LEVEL_{detail.upper()}"),
        formats=[pb.MeshFormat.Value(f"MESH_FORMAT_{name.upper()}") for name in formats],
        compressions=[pb.Compression.Value(f"COMPRESSION_{name.upper()}") for name in compressions],
        appearance=pb.Appearance.Value(f"APPEARANCE_{appearance.upper()}"),
        preview_first=preview_first,
    )


class Client:
    """A blocking client; safe to share between threads.

    Args:
        address: ``host:port``.
        credentials: for TLS; None: plain text.
        timeout: seconds a photo may take, unless a call says otherwise.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
        self.stub = pb_grpc.ReconstructionServiceStub(self.channel)
        self.timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def server_info(self) -> pb.GetServerInfoResponse:
        """What the server is."""
        try:
            return self.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=self.timeout)
        except grpc.RpcError as error:
            raise _translate(error) from None

    def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> Iterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            yield from self.stub.Reconstruct(request, timeout=timeout or self.timeout)
        except grpc.RpcError as error:
            raise _translate(error) from None

    def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Any
    ) -> Reconstruction:
        """Reconstruct the faces of one photo; options as in :func:`make_request`.

        Raises:
            NoFaceFound: the photo shows no face.
            ReconstructionError: the server failed or refused.
            CorruptAnswer: the answer is damaged.
        """
        assembler = Assembler()
        for event in self.events(make_request(image, **options), timeout):
            assembler.feed(event)
        return _finished(assembler)


class AsyncClient:
    """An asyncio client; arguments as :class:`Client`."""

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self.stub: pb_grpc.ReconstructionServiceAsyncStub = pb_grpc.ReconstructionServiceStub(
            self.channel
        )
        self.timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close(None)

    async def server_info(self) -> pb.GetServerInfoResponse:
        """What the server is."""
        try:
            return await self.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=self.timeout)
        except grpc.RpcError as error:
            raise _translate(error) from None

    async def events(
        self, request: pb.ReconstructRequest, timeout: float | None = None
    ) -> AsyncIterator[pb.ReconstructResponse]:
        """The raw events of an answer, as they come."""
        try:
            async for event in self.stub.Reconstruct(request, timeout=timeout or self.timeout):
                yield event
        except grpc.RpcError as error:
            raise _translate(error) from None

    async def reconstruct(
        self, image: bytes, *, timeout: float | None = None, **options: Any
    ) -> Reconstruction:
        """As :meth:`Client.reconstruct`."""
        assembler = Assembler()
        async for event in self.events(make_request(image, **options), timeout):
            assembler.feed(event)
        return _finished(assembler)

    async def reconstruct_many(
        self,
        requests: AsyncIterator[tuple[str, pb.ReconstructRequest]],
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, Reconstruction | ReconstructionError]]:
        """Send photos over one stream; yields (id, outcome) as they finish.

        Args:
            requests: (id of your choice, request); pulled only as fast as the server reads.
            timeout: seconds for the whole stream.
        """

        async def messages() -> AsyncIterator[pb.ReconstructManyRequest]:
            async for request_id, request in requests:
                yield pb.ReconstructManyRequest(request_id=request_id, request=request)

        open_: dict[str, Assembler] = {}
        try:
            async for event in self.stub.ReconstructMany(messages(), timeout=timeout):
                if event.HasField("error"):
                    open_.pop(event.request_id, None)
                    yield event.request_id, _from_message(event.error)
                    continue
                assembler = open_.setdefault(event.request_id, Assembler())
                assembler.feed(event)
                if assembler.done:
                    yield event.request_id, _finished(open_.pop(event.request_id))
        except grpc.RpcError as error:
            raise _translate(error) from None


def _face(face: pb.Face) -> Face:
    box = (face.box.x, face.box.y, face.box.width, face.box.height)
    matrix = None
    if face.mesh_to_photo:
        matrix = np.array(face.mesh_to_photo, np.float64).reshape(4, 4).T
    return Face(face.index, box, face.score, _outcome(face.outcome), mesh_to_photo=matrix)


def _outcome(value: pb.FaceOutcome.ValueType) -> str:
    return pb.FaceOutcome.Name(value).removeprefix("FACE_OUTCOME_")


def _finished(assembler: Assembler) -> Reconstruction:
    if not assembler.done or assembler.result is None:
        raise CorruptAnswer("the stream ended before the summary")
    return assembler.result


def _translate(error: grpc.RpcError) -> ReconstructionError:
    """Read the google.rpc details of a failed call."""
    call: Any = error
    reason, facts, retry = "", {}, None
    for key, value in call.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, again = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason, facts = info.reason, dict(info.metadata)
            elif detail.Unpack(again):
                retry = again.retry_delay.seconds + again.retry_delay.nanos / 1e9
    return _error(call.code(), call.details() or "", reason, facts, retry)


def _from_message(error: pb.Error) -> ReconstructionError:
    code = next(c for c in grpc.StatusCode if c.value[0] == error.code)
    retry = None
    if error.HasField("retry_delay"):
        retry = error.retry_delay.seconds + error.retry_delay.nanos / 1e9
    return _error(code, error.message, error.reason, error.metadata, retry)


def _error(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    facts: Mapping[str, str],
    retry: float | None,
) -> ReconstructionError:
    kind = NoFaceFound if reason == "NO_FACE_FOUND" else ReconstructionError
    return kind(code, message, reason, facts, retry)
