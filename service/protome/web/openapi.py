"""Describe the HTTP interface in OpenAPI 3.1; schemas and options come from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from protome import __version__
from protome.config import Config
from protome.errors import ProtomeError
from protome.server.calls.status import CODES
from protome.v1 import reconstruction_pb2 as pb

from .accept import EVENTS, JSON, MESH_TYPES, MULTIPART
from .options import DEFAULTS, FIELDS, MAX_UINT32, TIMEOUT, short_names
from .problems import PROBLEM, http_status, title

Json = dict[str, Any]

OPTIONS: Final[Mapping[str, str]] = {
    "boxes": "Faces to use instead of detecting them: x,y,width,height in photo pixels, from "
    "forehead to chin. May be repeated.",
    "max_faces": "Number of faces to reconstruct, largest first; 0: the server's limit. A response "
    "that is a mesh has the largest face only.",
    "detail": "Level of detail.",
    "formats": "Mesh formats that you can read, separated by commas; the first of GLB, "
    "OBJ_ZIP, PLY, OBJ, STL that is among them is used. The media type of a mesh in Accept does "
    "the same.",
    "compressions": "Compressions of GLB that you can read, separated by commas.",
    "appearance": "How meshes are coloured.",
    "preview_first": "Send a small mesh of each face first.",
    "priority": "Background photos wait until no interactive photo does.",
    "max_triangles": "Simplify each mesh to this number of triangles, at least 200; 0: do not.",
    "max_mesh_bytes": "Reduce texture and mesh until the file has this size, at least 1024; 0: do "
    "not.",
    "max_texture_side": "Largest width and height of a texture, 256 to 2048 pixels; 0: no limit.",
    "turn_to_front": "Turn the heads so that they look straight into the camera.",
    "vertex_quality": "Add to each vertex whether the photo shows it, and a confidence; GLB and "
    "PLY only.",
    TIMEOUT: "Seconds after which you need no response any more, like the deadline of a gRPC call. "
    "A photo that cannot be done in time is refused at once.",
}
SCALARS: Final[Mapping[int, Json]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": MAX_UINT32},
    # The JSON mapping of protobuf writes 64-bit integers as strings.
    FieldDescriptor.TYPE_UINT64: {"type": "string", "pattern": "^[0-9]+$"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
BINARY: Final[Json] = {"type": "string", "format": "binary"}


def describe_api(config: Config) -> Json:
    """Return the OpenAPI document of a server."""
    errors = {"$ref": "#/components/responses/Problem"}
    statuses = sorted({*map(http_status, CODES), 406})
    secured: Json = {"security": [{"token": []}]} if config.token_file else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Protome",
            "version": __version__,
            "summary": "One photo of a face in, a 3D mesh of that face out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/reconstruct": {
                "post": {
                    "operationId": "reconstruct",
                    "summary": "Reconstruct the faces of a photo.",
                    "parameters": [_parameter(name, config) for name in (*FIELDS, TIMEOUT)],
                    "requestBody": {
                        "required": True,
                        "description": f"The photo: JPEG, PNG, WebP, HEIC or AVIF, at "
                        f"most {config.max_image_bytes} bytes. Its Content-Type is not looked at.",
                        "content": {"application/octet-stream": {"schema": BINARY}},
                    },
                    "responses": {
                        "200": _success(),
                        **{str(code): errors for code in statuses},
                    },
                    **secured,
                }
            },
            "/v1/info": {
                "get": {
                    "operationId": "info",
                    "summary": "Return version, network, formats and limits of the server.",
                    "responses": {
                        "200": {
                            "description": "Facts about the server.",
                            "content": {JSON: {"schema": _reference(pb.GetServerInfoResponse)}},
                        },
                        **({"401": errors} if config.token_file else {}),
                    },
                    **secured,
                }
            },
        },
        "components": {
            "schemas": {**_schemas(), "Reconstruction": _document(), "Problem": _problem()},
            "responses": {
                "Problem": {
                    "description": "The request failed; see the table of errors.",
                    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "x-errors": [
            {"reason": kind.reason, "status": http_status(kind), "meaning": title(kind)}
            for kind in CODES
        ],
    }


def _success() -> Json:
    return {
        "description": "The largest face as a file, or all faces as JSON, as multipart, or as "
        "server-sent events header, chunk, summary and error.",
        "content": {
            **{kind: {"schema": BINARY} for kind in MESH_TYPES.values()},
            JSON: {"schema": {"$ref": "#/components/schemas/Reconstruction"}},
            MULTIPART: {"schema": BINARY},
            EVENTS: {"schema": {"type": "string"}},
        },
    }


def _parameter(name: str, config: Config) -> Json:
    schema: Json
    if name == TIMEOUT:
        schema = {"type": "number", "exclusiveMinimum": 0}
    else:
        schema = _option(FIELDS[name], config)
    found: Json = {
        "name": name,
        "in": "query",
        "description": OPTIONS.get(name, ""),
        "schema": schema,
    }
    if schema["type"] == "array":
        found |= {"style": "form", "explode": name == "boxes"}
    return found


def _option(field: FieldDescriptor, config: Config) -> Json:
    """Return the schema of an option of the query."""
    item: Json
    if field.enum_type is not None:
        item = {"type": "string", "enum": [*short_names(field.enum_type)]}
        if field.name in DEFAULTS:
            item["default"] = DEFAULTS[field.name]
    elif field.message_type is not None:
        number = r"-?\d{1,6}(\.\d{1,3})?"
        item = {"type": "string", "pattern": f"^{number},{number},{number},{number}$"}
    else:
        item = dict(SCALARS[field.type])
    if field.name == "max_faces":
        item["maximum"] = config.max_faces
    return {"type": "array", "items": item} if field.is_repeated else item


def _document() -> Json:
    mesh = {
        "type": "object",
        "required": ["face_index", "detail", "media_type", "data"],
        "properties": {
            "face_index": SCALARS[FieldDescriptor.TYPE_UINT32],
            "detail": {"type": "string"},
            "media_type": {"type": "string"},
            "data": SCALARS[FieldDescriptor.TYPE_BYTES],
        },
    }
    return {
        "type": "object",
        "required": ["header", "meshes", "summary"],
        "properties": {
            "header": _reference(pb.Header),
            "meshes": {"type": "array", "items": mesh},
            "summary": _reference(pb.Summary),
        },
    }


def _problem() -> Json:
    return {
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "reason": {"type": "string", "examples": [k.reason for k in _kinds()]},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "retry_after": {"type": "number", "description": "Seconds to wait before a retry."},
        },
    }


def _kinds() -> list[type[ProtomeError]]:
    return list(CODES)


def _reference(message: Any) -> Json:
    return {"$ref": f"#/components/schemas/{message.DESCRIPTOR.name}"}


def _schemas() -> Json:
    """Return the schemas of the messages that responses contain, in protobuf's JSON mapping."""
    found: Json = {}

    def add(message: Descriptor) -> None:
        if message.name in found:
            return
        found[message.name] = {"type": "object", "properties": {}}
        for field in message.fields:
            found[message.name]["properties"][field.name] = schema(field)

    def schema(field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            add(field.message_type)
            item: Json = {"$ref": f"#/components/schemas/{field.message_type.name}"}
        elif field.enum_type is not None:
            item = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
        else:
            item = SCALARS[field.type]
        return {"type": "array", "items": item} if field.is_repeated else item

    for message in (pb.Header, pb.Summary, pb.GetServerInfoResponse):
        add(message.DESCRIPTOR)
    return found
