"""Convert requests of the contract (protome.v1 messages) and check their fields."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from protome.config import Config
from protome.errors import InvalidRequest
from protome.geometry import Box, Level
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import (
    TEXTURE_SIDES,
    WITH_VERTEX_QUALITY,
    Compression,
    Encoding,
    Format,
    choose,
)
from protome.mesh.shape.simplify import MIN_BYTES, MeshBudget
from protome.mesh.shape.surface import MIN_TRIANGLES
from protome.pipeline.request import Request
from protome.v1 import reconstruction_pb2 as pb

# Lower numbers go first.
PRIORITIES: Mapping[pb.Priority.ValueType, int] = {
    pb.PRIORITY_UNSPECIFIED: 0,
    pb.PRIORITY_INTERACTIVE: 0,
    pb.PRIORITY_BACKGROUND: 1,
}

E = TypeVar("E", Level, Format, Compression, Appearance)
M = TypeVar("M", bound=Message)


def parse_message(kind: type[M], raw: bytes) -> M:
    """Parse a message of type ``kind``.

    Raises:
        InvalidRequest: the bytes cannot be parsed.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise InvalidRequest(f"the message cannot be parsed as {kind.DESCRIPTOR.name}") from None


def read_request(
    message: pb.ReconstructRequest, config: Config, deadline: float, stream: Hashable = None
) -> Request:
    """Convert a request.

    Args:
        message: the request.
        config: the settings, with the limits of its fields.
        deadline: on ``time.monotonic``.
        stream: identifies the stream, whose photos take turns with those of other streams.

    Raises:
        InvalidRequest: a field is out of its range.
    """
    limit = config.max_faces
    if message.max_faces > limit:
        raise InvalidRequest(
            f"max_faces is {message.max_faces}, the limit is {limit}",
            field="max_faces",
            value=message.max_faces,
            max_faces=limit,
        )
    if len(message.boxes) > limit:
        raise InvalidRequest(
            f"{len(message.boxes)} boxes, the limit is {limit}",
            field="boxes",
            value=len(message.boxes),
            max_faces=limit,
        )
    level = _enum(Level, message.detail, Level.STANDARD, "detail")
    preview = message.preview_first and level is not Level.PREVIEW
    return Request(
        image=message.image,
        boxes=[Box(b.x, b.y, b.width, b.height) for b in message.boxes],
        max_faces=message.max_faces or limit,
        levels=(Level.PREVIEW, level) if preview else (level,),
        encoding=_encoding(message),
        deadline=deadline,
        stream=stream,
        front=message.turn_to_front,
        priority=PRIORITIES[_known_priority(message.priority)],
        mesh_budget=MeshBudget(
            _at_least(MIN_TRIANGLES, message.max_triangles, "max_triangles"),
            _at_least(MIN_BYTES, message.max_mesh_bytes, "max_mesh_bytes"),
        ),
    )


def _encoding(message: pb.ReconstructRequest) -> Encoding:
    encoding = choose(
        {_enum(Format, f, Format.GLB, "formats") for f in message.formats},
        {_enum(Compression, c, Compression.NONE, "compressions") for c in message.compressions},
        _enum(Appearance, message.appearance, Appearance.NONE, "appearance"),
        vertex_quality=message.vertex_quality,
        max_texture_side=_texture_side(message.max_texture_side),
    )
    if encoding.vertex_quality and encoding.format not in WITH_VERTEX_QUALITY:
        raise InvalidRequest(
            f"vertex_quality: {encoding.format.name} cannot carry it, GLB and PLY can",
            field="vertex_quality",
            value=encoding.format.name,
        )
    return encoding


def _texture_side(value: int) -> int:
    low, high = TEXTURE_SIDES
    if value and not low <= value <= high:
        raise InvalidRequest(
            f"max_texture_side is {value}, it must be 0 or {low} to {high}",
            field="max_texture_side",
            value=value,
            least=low,
            most=high,
        )
    return value


def _enum(kind: type[E], value: int, default: E, name: str) -> E:
    if value == 0:
        return default
    try:
        return kind(value)
    except ValueError:
        raise InvalidRequest(f"{name}: {value} is not supported", field=name, value=value) from None


def _at_least(lowest: int, value: int, name: str) -> int:
    if 0 < value < lowest:
        raise InvalidRequest(
            f"{name} is {value}, the minimum is {lowest}", field=name, value=value, least=lowest
        )
    return value


def _known_priority(value: pb.Priority.ValueType) -> pb.Priority.ValueType:
    if value not in PRIORITIES:
        raise InvalidRequest(f"priority: {value} is not supported", field="priority", value=value)
    return value
