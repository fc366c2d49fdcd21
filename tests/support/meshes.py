"""Meshes read back by software that is not Protome's: trimesh, pygltflib, meshoptimizer."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib
import pytest
import trimesh

from protome.v1 import reconstruction_pb2 as pb
from tests.support.readers import Glb

F64 = npt.NDArray[np.float64]
SUFFIXES = {
    pb.MESH_FORMAT_GLB: "glb",
    pb.MESH_FORMAT_PLY: "ply",
    pb.MESH_FORMAT_OBJ: "obj",
    pb.MESH_FORMAT_STL: "stl",
    pb.MESH_FORMAT_OBJ_ZIP: "zip",
}


def read(data: bytes, header: pb.Header) -> trimesh.Trimesh:
    """Read a mesh of the answer that began with ``header``, vertices as they are in the file."""
    if header.compression == pb.COMPRESSION_MESHOPT:
        return _read_meshopt(data)
    suffix = SUFFIXES[header.format]
    loaded = trimesh.load_scene(io.BytesIO(data), file_type=suffix, process=False)
    assert len(loaded.geometry) == 1
    mesh: trimesh.Trimesh = loaded.to_mesh()
    if suffix == "stl":
        # An STL is a soup of triangles in millimetres: equal corners are one vertex.
        mesh.apply_scale(1e-3)  # type: ignore[no-untyped-call]
        mesh.merge_vertices()
    return mesh


def alike(first: bytes, second: bytes) -> bool:
    """Whether two plain GLBs hold the same face.

    A row of a batch may differ from the same face alone in the last of 255 steps of occupancy, a
    few micrometres of surface; different photos differ by far more.
    """
    (bounds, volume), (other_bounds, other_volume) = _extent(first), _extent(second)
    near = np.allclose(bounds, other_bounds, rtol=0, atol=5e-5)
    return bool(near and abs(volume / other_volume - 1) < 1e-4)


@functools.lru_cache(32)
def _extent(glb: bytes) -> tuple[npt.NDArray[np.float64], float]:
    """Bounds and volume of a plain GLB; kept, as many are compared with the same few."""
    mesh = trimesh.load_scene(io.BytesIO(glb), file_type="glb", process=False).to_mesh()
    return mesh.bounds, mesh.volume


def colours(mesh: trimesh.Trimesh) -> npt.NDArray[np.float64]:
    """Colours of the vertices, (n, 3), 0 to 255."""
    visual: Any = mesh.visual
    return np.asarray(visual.vertex_colors[:, :3], np.float64)


def vertex_quality(data: bytes, header: pb.Header) -> tuple[F64, F64]:
    """Seen and confidence of the vertices, in the order of the vertices of :func:`read`."""
    if header.format == pb.MESH_FORMAT_PLY:
        loaded = trimesh.load_scene(io.BytesIO(data), file_type="ply", process=False)
        rows = loaded.to_mesh().metadata["_ply_raw"]["vertex"]["data"]
        values = [rows["seen"], rows["confidence"]]
    elif header.compression == pb.COMPRESSION_NONE:
        held = read(data, header).vertex_attributes
        values = [np.asarray(held[name]) for name in ("_SEEN", "_CONFIDENCE")]
    else:
        values = [_packed_attribute(data, name) for name in ("_SEEN", "_CONFIDENCE")]
    seen, confidence = (np.ravel(v).astype(np.float64) for v in values)
    return seen, confidence


def _packed_attribute(data: bytes, name: str) -> F64:
    """An attribute of normalised bytes inside a compressed GLB, (n,) in 0 to 1."""
    packed = Glb(data)
    number = getattr(packed.primitive.attributes, name)
    accessor = packed.gltf.accessors[number]
    assert (accessor.componentType, accessor.type, accessor.normalized) == (5121, "SCALAR", True)
    if packed.primitive.extensions:
        return packed.draco_values(packed.draco(), name)
    codec: Any = pytest.importorskip("meshoptimizer")
    accessor, extension, body = _meshopt_view(packed.gltf, packed.blob, number)
    raw = codec.decode_vertex_buffer(extension["count"], extension["byteStride"], body)
    rows = np.frombuffer(np.ascontiguousarray(raw).tobytes(), np.uint8)
    return rows.reshape(accessor.count, extension["byteStride"])[:, 0] / 255


def attributes(data: bytes) -> set[str]:
    """Names of the vertex attributes of a GLB."""
    return Glb(data).names()


def texture(data: bytes) -> bytes:
    """The picture inside a GLB; empty if there is none."""
    glb = Glb(data)
    return glb.picture() if glb.gltf.images else b""


def _read_meshopt(data: bytes) -> trimesh.Trimesh:
    # meshoptimizer's own decoder; the server encodes with the package meshopt.
    codec: Any = pytest.importorskip("meshoptimizer")
    document = pygltflib.GLTF2.load_from_bytes(data)
    assert set(document.extensionsRequired) == {"KHR_mesh_quantization", "EXT_meshopt_compression"}
    blob = document.binary_blob()
    primitive = document.meshes[0].primitives[0]
    accessor, extension, body = _meshopt_view(document, blob, primitive.attributes.POSITION)
    assert (extension["mode"], extension["byteStride"]) == ("ATTRIBUTES", 8)
    raw = codec.decode_vertex_buffer(extension["count"], 8, body)
    rows = np.frombuffer(np.ascontiguousarray(raw).tobytes(), np.uint16).reshape(-1, 4)
    assert accessor.count == len(rows)
    node = document.nodes[0]
    positions = rows[:, :3] * np.array(node.scale) + np.array(node.translation)
    accessor, extension, body = _meshopt_view(document, blob, primitive.indices)
    assert extension["mode"] == "TRIANGLES"
    indices = codec.decode_index_buffer(accessor.count, 4, body)
    return trimesh.Trimesh(positions, np.asarray(indices).reshape(-1, 3), process=False)


def _meshopt_view(document: Any, blob: Any, number: int) -> tuple[Any, dict[str, Any], bytes]:
    """An accessor, the extension of its buffer view, and the compressed bytes."""
    accessor = document.accessors[number]
    view = document.bufferViews[accessor.bufferView]
    extension = view.extensions["EXT_meshopt_compression"]
    start = extension.get("byteOffset", 0)
    return accessor, extension, bytes(blob[start : start + extension["byteLength"]])
