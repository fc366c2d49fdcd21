"""Assemble a glTF asset, and convert a mesh's attributes to glTF conventions."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8
from protome.mesh.colour.mesh import Mesh

FLOAT: Final = 5126
U_INT: Final = 5125
U_SHORT: Final = 5123
U_BYTE: Final = 5121
BYTE: Final = 5120
ARRAY_BUFFER: Final = 34962
ELEMENT_ARRAY_BUFFER: Final = 34963
CLAMP_TO_EDGE: Final = 33071
LINEAR: Final = 9729
LINEAR_MIPMAP_LINEAR: Final = 9987

Json = dict[str, Any]


class Glb:
    """A glTF asset under construction: the JSON and the bytes of its binary chunk."""

    def __init__(self) -> None:
        self.json: Json = {
            "asset": {"version": "2.0", "generator": "protome"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "face", "mesh": 0}],
            "accessors": [],
            "bufferViews": [],
        }
        self.blob = bytearray()

    def view(self, data: bytes, **fields: Any) -> int:
        """Add bytes and a buffer view of them; return the view's index."""
        offset = self.put(data)
        views: list[Json] = self.json["bufferViews"]
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), **fields})
        return len(views) - 1

    def put(self, data: bytes) -> int:
        """Add bytes on a 4-byte boundary; return their offset."""
        self.blob += bytes(-len(self.blob) % 4)
        offset = len(self.blob)
        self.blob += data
        return offset

    def accessor(self, **fields: Any) -> int:
        """Add an accessor; return its index."""
        accessors: list[Json] = self.json["accessors"]
        accessors.append(fields)
        return len(accessors) - 1

    def require(self, *extensions: str) -> None:
        """Declare extensions that a reader must support."""
        self.json["extensionsUsed"] = list(extensions)
        self.json["extensionsRequired"] = list(extensions)

    def bytes(self) -> bytes:
        """Return the GLB file (glTF 2.0 specification, 4.4)."""
        self.blob += bytes(-len(self.blob) % 4)
        self.json.setdefault("buffers", []).insert(0, {"byteLength": len(self.blob)})
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self.blob)
        return b"".join(
            (
                struct.pack("<4sII", b"glTF", 2, size),
                struct.pack("<I4s", len(text), b"JSON"),
                text,
                struct.pack("<I4s", len(self.blob), b"BIN\0"),
                bytes(self.blob),
            )
        )


def attributes_of(mesh: Mesh) -> list[tuple[str, str, int, npt.NDArray[Any]]]:
    """Return (glTF name, type, component type, values) of each attribute of the mesh."""
    rows: list[tuple[str, str, int, npt.NDArray[Any]]] = [
        ("POSITION", "VEC3", FLOAT, mesh.positions),
        ("NORMAL", "VEC3", FLOAT, mesh.normals),
    ]
    if mesh.colours is not None:
        rows.append(("COLOR_0", "VEC4", U_SHORT, linear(mesh.colours)))
    if mesh.uv is not None:
        rows.append(("TEXCOORD_0", "VEC2", FLOAT, mesh.uv))
    return rows


def quality_of(mesh: Mesh) -> list[tuple[str, F32]]:
    """Return (glTF name, values 0 to 1) of the mesh's vertex quality, if it has one."""
    if mesh.quality is None:
        return []
    return [
        ("_SEEN", mesh.quality.seen.astype(np.float32)),
        ("_CONFIDENCE", mesh.quality.confidence),
    ]


def as_bytes(values: F32) -> U8:
    """Convert values in 0 to 1 to normalised bytes."""
    return np.round(255 * values).astype(np.uint8)


def as_shorts(values: F32) -> npt.NDArray[np.uint16]:
    """Convert values in 0 to 1 to normalised 16-bit numbers."""
    return np.rint(65535 * values).astype(np.uint16)


def bounds(values: npt.NDArray[Any]) -> Json:
    """Return minimum and maximum of each column, as accessors of positions need them."""
    # See quantise().
    columns = np.ascontiguousarray(values.T)
    return {"min": columns.min(axis=1).tolist(), "max": columns.max(axis=1).tolist()}


def linear(colours: U8) -> npt.NDArray[np.uint16]:
    """Convert (n, 3) sRGB to (n, 4) linear RGBA for glTF's COLOR_0 (IEC 61966-2-1)."""
    c = np.arange(256) / 255
    curve = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    table = np.round(curve * 65535).astype(np.uint16)
    rgba = np.full((len(colours), 4), 65535, np.uint16)
    rgba[:, :3] = table[colours]
    return rgba
