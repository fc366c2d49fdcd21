"""Compress the geometry of a GLB file with meshopt.

It uses the extensions EXT_meshopt_compression and KHR_mesh_quantization of glTF.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .codec import codec
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
    as_shorts,
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
    # several times as long as the rest and save an eighth of the bytes.
    data, numbers = codec.encode_triangles(mesh.triangles, len(mesh.positions))
    order = np.frombuffer(numbers, np.uint32)
    used = len(order)
    glb.json["nodes"][0].update(translation=low.tolist(), scale=[step] * 3)
    fallback = 0
    attributes = {}

    def add(name: str, rows: npt.NDArray[Any], component: int, kind: str, **fields: Any) -> None:
        nonlocal fallback
        encoded = codec.encode_rows(rows.view(np.uint8), order)
        # The codec and attributes need rows of 4 bytes; the padding compresses to nothing.
        stride = -(-rows.shape[1] * rows.itemsize // 4) * 4
        filtered = {"filter": "OCTAHEDRAL"} if name == "NORMAL" else {}
        view = _view(glb, encoded, fallback, stride, used, "ATTRIBUTES", **filtered)
        glb.json["bufferViews"][view].update(byteStride=stride, target=ARRAY_BUFFER)
        fallback += stride * used
        attributes[name] = glb.accessor(
            bufferView=view, componentType=component, count=used, type=kind, **fields
        )

    points = quantised.points
    shown = points if used == len(points) else points.take(order, axis=0)
    add("POSITION", points, U_SHORT, "VEC3", **bounds(shown))
    normals = np.frombuffer(codec.octahedral(mesh.normals), np.uint8).reshape(-1, 4)
    add("NORMAL", normals, BYTE, "VEC3", normalized=True)
    if mesh.colours is not None:
        add("COLOR_0", linear(mesh.colours), U_SHORT, "VEC4", normalized=True)
    if mesh.uv is not None:
        add("TEXCOORD_0", as_shorts(mesh.uv), U_SHORT, "VEC2", normalized=True)
    for name, values in quality_of(mesh):
        add(name, as_bytes(values)[:, None], U_BYTE, "SCALAR", normalized=True)
    indices = mesh.triangles.size
    view = _view(glb, data, fallback, 4, indices, "TRIANGLES")
    glb.json["bufferViews"][view]["target"] = ELEMENT_ARRAY_BUFFER
    fallback += 4 * indices
    # The buffer that uncompressed views would refer to; it has no bytes in the file.
    glb.json["buffers"] = [
        {"byteLength": fallback, "extensions": {"EXT_meshopt_compression": {"fallback": True}}}
    ]
    number = glb.accessor(bufferView=view, componentType=U_INT, count=indices, type="SCALAR")
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
