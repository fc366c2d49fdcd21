"""Compress the geometry of a GLB file with meshopt (EXT_meshopt_compression over
KHR_mesh_quantization).
"""

from __future__ import annotations

from typing import Any

import meshopt
import numpy as np
import numpy.typing as npt

from .gltf_asset import (
    ARRAY_BUFFER,
    BYTE,
    ELEMENT_ARRAY_BUFFER,
    U_BYTE,
    U_INT,
    U_SHORT,
    Glb,
    Json,
    as_bytes,
    bounds,
    linear,
    quality_of,
)
from .quantise import Quantised


def meshopt_primitive(glb: Glb, quantised: Quantised) -> Json:
    """Add a mesh to ``glb`` and return its primitive."""
    mesh, low, step = quantised.mesh, quantised.low, quantised.step
    glb.require("KHR_mesh_quantization", "EXT_meshopt_compression")
    # Marching cubes leaves the triangles in a good order: reordering them for the codec would take
    # twice the time of the rest and save an eighth of the bytes.
    indices, remap, used = meshopt.reorder_mesh(mesh.triangles, triangles=False, optsize=False)
    kept = np.flatnonzero(remap < used)
    order = np.empty(used, np.intp)
    order[remap[kept]] = kept
    glb.json["nodes"][0].update(translation=low.tolist(), scale=[step] * 3)
    fallback = 0
    attributes = {}

    def add(name: str, rows: npt.NDArray[Any], component: int, kind: str, **fields: Any) -> None:
        nonlocal fallback
        rows = np.ascontiguousarray(rows)
        stride = rows.shape[1] * rows.itemsize
        filtered = {"filter": "OCTAHEDRAL"} if name == "NORMAL" else {}
        data = meshopt.encode_gltf_buffer(rows, "ATTRIBUTES")
        view = _view(glb, data, fallback, stride, len(rows), "ATTRIBUTES", **filtered)
        glb.json["bufferViews"][view].update(byteStride=stride, target=ARRAY_BUFFER)
        fallback += stride * len(rows)
        attributes[name] = glb.accessor(
            bufferView=view, componentType=component, count=len(rows), type=kind, **fields
        )

    positions = np.zeros((used, 4), np.uint16)
    # take() is several times faster than an index of rows.
    positions[:, :3] = quantised.points.take(order, axis=0)
    add("POSITION", positions, U_SHORT, "VEC3", **bounds(positions[:, :3]))
    normals = np.zeros((used, 4), np.float32)
    normals[:, :3] = mesh.normals.take(order, axis=0)
    encoded = meshopt.encode_filter_oct(normals, stride=4, bits=8)
    add("NORMAL", encoded, BYTE, "VEC3", normalized=True)
    if mesh.colours is not None:
        add("COLOR_0", linear(mesh.colours.take(order, axis=0)), U_SHORT, "VEC4", normalized=True)
    if mesh.uv is not None:
        uv = np.round(mesh.uv.take(order, axis=0) * 65535).astype(np.uint16)
        add("TEXCOORD_0", uv, U_SHORT, "VEC2", normalized=True)
    for name, values in quality_of(mesh):
        # The codec and attributes need rows of 4 bytes; the padding compresses to nothing.
        rows = np.zeros((used, 4), np.uint8)
        rows[:, 0] = as_bytes(values.take(order))
        add(name, rows, U_BYTE, "SCALAR", normalized=True)
    data = meshopt.encode_gltf_buffer(indices, "TRIANGLES")
    view = _view(glb, data, fallback, 4, indices.size, "TRIANGLES")
    glb.json["bufferViews"][view]["target"] = ELEMENT_ARRAY_BUFFER
    fallback += 4 * indices.size
    # The buffer that uncompressed views would refer to; it has no bytes in the file.
    glb.json["buffers"] = [
        {"byteLength": fallback, "extensions": {"EXT_meshopt_compression": {"fallback": True}}}
    ]
    number = glb.accessor(bufferView=view, componentType=U_INT, count=indices.size, type="SCALAR")
    return {"attributes": attributes, "indices": number}


def _view(
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
