"""Write meshes as GLB, binary glTF 2.0 (Khronos, ISO/IEC 12113), plain or compressed.

Vertex quality is stored in application-specific attributes, _SEEN and _CONFIDENCE (3.7.2.1 of the
specification).
"""

from __future__ import annotations

from typing import Literal

from protome.mesh.colour.mesh import Mesh

from .face_facts import FaceFacts
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
from .quantise import Quantised


def write_glb(
    mesh: Mesh | Quantised,
    compression: Literal["none", "draco", "meshopt"] = "none",
    *,
    picture: bytes = b"",
    facts: FaceFacts | None = None,
) -> bytes:
    """Write a mesh as GLB.

    Args:
        mesh: the mesh; quantised if it is to be compressed.
        compression: compression of the geometry.
        picture: the texture, a JPEG; empty if there is none.
        facts: what the extras of the node say about the face, or None.
    """
    glb = Glb()
    if facts is not None:
        glb.json["nodes"][0]["extras"] = facts.extras()
    if isinstance(mesh, Mesh):
        primitive = _plain(glb, mesh)
    else:
        write = draco_primitive if compression == "draco" else meshopt_primitive
        primitive = write(glb, mesh)
    primitive["material"] = 0
    glb.json["meshes"] = [{"name": "face", "primitives": [primitive]}]
    material: Json = {"metallicFactor": 0.0, "roughnessFactor": 0.9}
    if picture:
        _picture(glb, picture)
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


def _picture(glb: Glb, picture: bytes) -> None:
    view = glb.view(picture)
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
