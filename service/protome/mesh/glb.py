"""Mesh → GLB: glTF 2.0 binary (Khronos, ISO/IEC 12113), plain or compressed.

Draco: KHR_draco_mesh_compression. meshopt: EXT_meshopt_compression over KHR_mesh_quantization.
Vertex quality: attributes of our own, _SEEN and _CONFIDENCE, as the specification allows (3.7.2.1).
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final, Literal

import cv2
import DracoPy
import meshopt
import numpy as np
import numpy.typing as npt

from protome.geometry import F32, U8

from .mesh import Mesh

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

# 12 bits across a head are 0.06 mm, a fiftieth of a voxel.
DRACO_POSITION_BITS: Final = 12
DRACO_NORMAL_BITS: Final = 8
DRACO_UV_BITS: Final = 12
DRACO_LEVEL: Final = 3
MESHOPT_POSITION_MAX: Final = 4095
JPEG_QUALITY: Final = 90

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
        """Add a buffer view over new bytes; returns its index."""
        offset = self.put(data)
        views: list[Json] = self.json["bufferViews"]
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), **fields})
        return len(views) - 1

    def put(self, data: bytes) -> int:
        """Add bytes on a 4-byte boundary; returns their offset."""
        self.blob += bytes(-len(self.blob) % 4)
        offset = len(self.blob)
        self.blob += data
        return offset

    def accessor(self, **fields: Any) -> int:
        """Add an accessor; returns its index."""
        accessors: list[Json] = self.json["accessors"]
        accessors.append(fields)
        return len(accessors) - 1

    def require(self, *extensions: str) -> None:
        """Name extensions that a reader must know."""
        self.json["extensionsUsed"] = list(extensions)
        self.json["extensionsRequired"] = list(extensions)

    def bytes(self) -> bytes:
        """The GLB file (glTF 2.0 specification, 4.4)."""
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


def write_glb(mesh: Mesh, compression: Literal["none", "draco", "meshopt"] = "none") -> bytes:
    """Write a mesh as GLB.

    Args:
        mesh: what to write.
        compression: of the geometry; a texture is a JPEG in every case.
    """
    glb = Glb()
    writer = {"none": _plain, "draco": _draco, "meshopt": _meshopt}[compression]
    primitive = writer(glb, mesh)
    primitive["material"] = 0
    glb.json["meshes"] = [{"name": "face", "primitives": [primitive]}]
    material: Json = {"metallicFactor": 0.0, "roughnessFactor": 0.9}
    if mesh.picture is not None:
        _picture(glb, mesh.picture)
        material["baseColorTexture"] = {"index": 0}
    glb.json["materials"] = [{"name": "skin", "pbrMetallicRoughness": material}]
    return glb.bytes()


def _plain(glb: Glb, mesh: Mesh) -> Json:
    attributes = {}
    for name, kind, component, values in _attributes(mesh):
        view = glb.view(values.tobytes(), target=ARRAY_BUFFER)
        fields = _bounds(values) if name == "POSITION" else {}
        if component == U_SHORT:
            fields["normalized"] = True
        attributes[name] = glb.accessor(
            bufferView=view, componentType=component, count=len(values), type=kind, **fields
        )
    for name, values in _quality(mesh):
        view = glb.view(values.tobytes(), target=ARRAY_BUFFER)
        attributes[name] = glb.accessor(
            bufferView=view, componentType=FLOAT, count=len(values), type="SCALAR"
        )
    view = glb.view(mesh.triangles.tobytes(), target=ELEMENT_ARRAY_BUFFER)
    count = mesh.triangles.size
    indices = glb.accessor(bufferView=view, componentType=U_INT, count=count, type="SCALAR")
    return {"attributes": attributes, "indices": indices}


def _draco(glb: Glb, mesh: Mesh) -> Json:
    glb.require("KHR_draco_mesh_compression")
    generic: dict[int, npt.NDArray[Any]] = {
        _DRACO_IDS[name]: _bytes(values)[:, None] for name, values in _quality(mesh)
    }
    if mesh.colours is not None:
        generic[_DRACO_IDS["COLOR_0"]] = _linear(mesh.colours)
    data = DracoPy.encode(
        mesh.positions,
        mesh.triangles,
        quantization_bits=DRACO_POSITION_BITS,
        normal_quantization_bits=DRACO_NORMAL_BITS,
        tex_coord_quantization_bits=DRACO_UV_BITS,
        compression_level=DRACO_LEVEL,
        # It asks for float64 although it stores float32.
        normals=mesh.normals.astype(np.float64),
        tex_coord=None if mesh.uv is None else mesh.uv.astype(np.float64),
        generic_attributes=generic or None,
    )
    # Draco reorders and may join vertices, and readers check accessors against what it holds.
    held = DracoPy.decode(data)
    count = len(held.points)
    ids = {a["attribute_type"]: a["unique_id"] for a in held.attributes}
    attributes, numbers = {}, {}
    for name, kind, component, _ in _attributes(mesh):
        fields = _bounds(held.points) if name == "POSITION" else {}
        if component == U_SHORT:
            fields["normalized"] = True
        attributes[name] = glb.accessor(componentType=component, count=count, type=kind, **fields)
        numbers[name] = _DRACO_IDS.get(name) or ids[_DRACO_TYPES[name]]
    for name, _ in _quality(mesh):
        attributes[name] = glb.accessor(
            componentType=U_BYTE, count=count, type="SCALAR", normalized=True
        )
        numbers[name] = _DRACO_IDS[name]
    indices = glb.accessor(componentType=U_INT, count=held.faces.size, type="SCALAR")
    extension = {"bufferView": glb.view(data), "attributes": numbers}
    return {
        "attributes": attributes,
        "indices": indices,
        "extensions": {"KHR_draco_mesh_compression": extension},
    }


_DRACO_TYPES: Final = {
    "POSITION": DracoPy.AttributeType.POSITION,
    "NORMAL": DracoPy.AttributeType.NORMAL,
    "TEXCOORD_0": DracoPy.AttributeType.TEX_COORD,
}
# Of the attributes that Draco has no type for.
_DRACO_IDS: Final = {"COLOR_0": 7, "_SEEN": 8, "_CONFIDENCE": 9}


def _meshopt(glb: Glb, mesh: Mesh) -> Json:
    glb.require("KHR_mesh_quantization", "EXT_meshopt_compression")
    # Marching cubes leaves the triangles in fair order: reordering them for the codec takes twice
    # the time of all the rest and saves an eighth of the bytes.
    indices, remap, used = meshopt.reorder_mesh(mesh.triangles, triangles=False, optsize=False)
    order = np.argsort(remap)[:used]
    low = mesh.positions.min(axis=0)
    step = float(np.ptp(mesh.positions, axis=0).max()) / MESHOPT_POSITION_MAX
    glb.json["nodes"][0].update(translation=low.astype(float).tolist(), scale=[step] * 3)
    fallback = 0
    attributes = {}

    def add(name: str, rows: npt.NDArray[Any], component: int, kind: str, **fields: Any) -> None:
        nonlocal fallback
        rows = np.ascontiguousarray(rows)
        stride = rows.shape[1] * rows.itemsize
        filtered = {"filter": "OCTAHEDRAL"} if name == "NORMAL" else {}
        data = meshopt.encode_gltf_buffer(rows, "ATTRIBUTES")
        view = _meshopt_view(glb, data, fallback, stride, len(rows), "ATTRIBUTES", **filtered)
        glb.json["bufferViews"][view].update(byteStride=stride, target=ARRAY_BUFFER)
        fallback += stride * len(rows)
        attributes[name] = glb.accessor(
            bufferView=view, componentType=component, count=len(rows), type=kind, **fields
        )

    positions = np.zeros((used, 4), np.uint16)
    positions[:, :3] = np.round((mesh.positions[order] - low) / step)
    add("POSITION", positions, U_SHORT, "VEC3", **_bounds(positions[:, :3]))
    normals = np.zeros((used, 4), np.float32)
    normals[:, :3] = mesh.normals[order]
    encoded = meshopt.encode_filter_oct(normals, stride=4, bits=8)
    add("NORMAL", encoded, BYTE, "VEC3", normalized=True)
    if mesh.colours is not None:
        add("COLOR_0", _linear(mesh.colours)[order], U_SHORT, "VEC4", normalized=True)
    if mesh.uv is not None:
        uv = np.round(mesh.uv[order] * 65535).astype(np.uint16)
        add("TEXCOORD_0", uv, U_SHORT, "VEC2", normalized=True)
    for name, values in _quality(mesh):
        # The codec takes rows of 4 bytes, and so do attributes; what pads them costs nothing.
        rows = np.zeros((used, 4), np.uint8)
        rows[:, 0] = _bytes(values)[order]
        add(name, rows, U_BYTE, "SCALAR", normalized=True)
    data = meshopt.encode_gltf_buffer(indices, "TRIANGLES")
    view = _meshopt_view(glb, data, fallback, 4, indices.size, "TRIANGLES")
    glb.json["bufferViews"][view]["target"] = ELEMENT_ARRAY_BUFFER
    fallback += 4 * indices.size
    # What the views would point into if nothing were compressed; it has no bytes of its own.
    glb.json["buffers"] = [
        {"byteLength": fallback, "extensions": {"EXT_meshopt_compression": {"fallback": True}}}
    ]
    number = glb.accessor(bufferView=view, componentType=U_INT, count=indices.size, type="SCALAR")
    return {"attributes": attributes, "indices": number}


def _meshopt_view(
    glb: Glb, data: bytes, fallback: int, stride: int, count: int, mode: str, **fields: str
) -> int:
    extension = {
        "buffer": 0,
        "byteOffset": glb.put(data),
        "byteLength": len(data),
        "byteStride": stride,
        "count": count,
        "mode": mode,
        **fields,
    }
    views: list[Json] = glb.json["bufferViews"]
    views.append(
        {
            "buffer": 1,
            "byteOffset": fallback,
            "byteLength": stride * count,
            "extensions": {"EXT_meshopt_compression": extension},
        }
    )
    return len(views) - 1


def _attributes(mesh: Mesh) -> list[tuple[str, str, int, npt.NDArray[Any]]]:
    """(glTF name, type, component type, values) of what the mesh has."""
    rows: list[tuple[str, str, int, npt.NDArray[Any]]] = [
        ("POSITION", "VEC3", FLOAT, mesh.positions),
        ("NORMAL", "VEC3", FLOAT, mesh.normals),
    ]
    if mesh.colours is not None:
        rows.append(("COLOR_0", "VEC4", U_SHORT, _linear(mesh.colours)))
    if mesh.uv is not None:
        rows.append(("TEXCOORD_0", "VEC2", FLOAT, mesh.uv))
    return rows


def _quality(mesh: Mesh) -> list[tuple[str, F32]]:
    """(glTF name, values in 0 to 1) of what the mesh says about each vertex."""
    if mesh.quality is None:
        return []
    return [
        ("_SEEN", mesh.quality.seen.astype(np.float32)),
        ("_CONFIDENCE", mesh.quality.confidence),
    ]


def _bytes(values: F32) -> U8:
    """Values in 0 to 1 as normalised bytes."""
    return np.round(255 * values).astype(np.uint8)


def _bounds(values: npt.NDArray[Any]) -> Json:
    return {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}


def _linear(colours: U8) -> npt.NDArray[np.uint16]:
    """(n, 3) sRGB to (n, 4) linear RGBA as glTF's COLOR_0 wants it (IEC 61966-2-1)."""
    c = np.arange(256) / 255
    curve = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    table = np.round(curve * 65535).astype(np.uint16)
    rgba = np.full((len(colours), 4), 65535, np.uint16)
    rgba[:, :3] = table[colours]
    return rgba


def _picture(glb: Glb, picture: U8) -> None:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    view = glb.view(data.tobytes())
    glb.json["images"] = [{"mimeType": "image/jpeg", "bufferView": view}]
    glb.json["samplers"] = [
        {
            "magFilter": LINEAR,
            "minFilter": LINEAR_MIPMAP_LINEAR,
            "wrapS": CLAMP_TO_EDGE,
            "wrapT": CLAMP_TO_EDGE,
        }
    ]
    glb.json["textures"] = [{"sampler": 0, "source": 0}]
