"""Write meshes as GLB, binary glTF 2.0 (Khronos, ISO/IEC 12113), plain or compressed.

Vertex quality is stored in application-specific attributes, _SEEN and _CONFIDENCE (3.7.2.1 of the
specification).
"""

from __future__ import annotations

from typing import Final, Literal

import cv2

from protome.geometry import U8

from .glb_draco import draco_primitive
from .glb_meshopt import meshopt_primitive
from .gltf_asset import (
    ARRAY_BUFFER,
    CLAMP_TO_EDGE,
    ELEMENT_ARRAY_BUFFER,
    FLOAT,
    LINEAR,
    LINEAR_MIPMAP_LINEAR,
    U_INT,
    U_SHORT,
    Glb,
    Json,
    attributes_of,
    bounds,
    quality_of,
)
from .mesh import Mesh

JPEG_QUALITY: Final = 90


def write_glb(mesh: Mesh, compression: Literal["none", "draco", "meshopt"] = "none") -> bytes:
    """Write a mesh as GLB.

    Args:
        mesh: the mesh.
        compression: compression of the geometry; a texture is always a JPEG.
    """
    glb = Glb()
    writer = {"none": _plain, "draco": draco_primitive, "meshopt": meshopt_primitive}[compression]
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
    for name, kind, component, values in attributes_of(mesh):
        view = glb.view(values.tobytes(), target=ARRAY_BUFFER)
        fields = bounds(values) if name == "POSITION" else {}
        if component == U_SHORT:
            fields["normalized"] = True
        attributes[name] = glb.accessor(
            bufferView=view, componentType=component, count=len(values), type=kind, **fields
        )
    for name, values in quality_of(mesh):
        view = glb.view(values.tobytes(), target=ARRAY_BUFFER)
        attributes[name] = glb.accessor(
            bufferView=view, componentType=FLOAT, count=len(values), type="SCALAR"
        )
    view = glb.view(mesh.triangles.tobytes(), target=ELEMENT_ARRAY_BUFFER)
    count = mesh.triangles.size
    indices = glb.accessor(bufferView=view, componentType=U_INT, count=count, type="SCALAR")
    return {"attributes": attributes, "indices": indices}


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
