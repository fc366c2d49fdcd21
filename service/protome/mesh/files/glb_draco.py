"""Compress the geometry of a GLB file with Draco (KHR_draco_mesh_compression)."""

from __future__ import annotations

from typing import Any, Final

import DracoPy
import numpy as np
import numpy.typing as npt

from .gltf_asset import (
    U_BYTE,
    U_INT,
    U_SHORT,
    Glb,
    Json,
    as_bytes,
    attributes_of,
    bounds,
    linear,
    quality_of,
)
from .quantise import Quantised

DRACO_NORMAL_BITS: Final = 8
DRACO_UV_BITS: Final = 12
DRACO_LEVEL: Final = 3


def draco_primitive(glb: Glb, quantised: Quantised) -> Json:
    """Add a mesh to ``glb`` and return its primitive."""
    mesh = quantised.mesh
    glb.require("KHR_draco_mesh_compression")
    generic: dict[int, npt.NDArray[Any]] = {
        _DRACO_IDS[name]: as_bytes(values)[:, None] for name, values in quality_of(mesh)
    }
    if mesh.colours is not None:
        generic[_DRACO_IDS["COLOR_0"]] = linear(mesh.colours)
    data = DracoPy.encode(
        quantised.positions,
        mesh.triangles,
        quantization_bits=quantised.bits,
        quantization_range=quantised.step * (2**quantised.bits - 1),
        quantization_origin=quantised.low,
        normal_quantization_bits=DRACO_NORMAL_BITS,
        tex_coord_quantization_bits=DRACO_UV_BITS,
        compression_level=DRACO_LEVEL,
        # DracoPy requires float64 although it stores float32.
        normals=mesh.normals.astype(np.float64),
        tex_coord=None if mesh.uv is None else mesh.uv.astype(np.float64),
        generic_attributes=generic or None,
    )
    # Draco reorders and may merge vertices; readers check accessors against the decoded counts.
    held = DracoPy.decode(data)
    count = len(held.points)
    ids = {a["attribute_type"]: a["unique_id"] for a in held.attributes}
    attributes, numbers = {}, {}
    for name, kind, component, _ in attributes_of(mesh):
        fields = bounds(held.points) if name == "POSITION" else {}
        if component == U_SHORT:
            fields["normalized"] = True
        attributes[name] = glb.accessor(componentType=component, count=count, type=kind, **fields)
        numbers[name] = _DRACO_IDS.get(name) or ids[_DRACO_TYPES[name]]
    for name, _ in quality_of(mesh):
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
# Unique ids of the attributes that Draco has no type for.
_DRACO_IDS: Final = {"COLOR_0": 7, "_SEEN": 8, "_CONFIDENCE": 9}
