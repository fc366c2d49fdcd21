"""Write meshes as PLY, OBJ or STL."""

from __future__ import annotations

import io
import zipfile
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protome.mesh.colour.mesh import Mesh

STL_HEADER: Final = b"protome; millimetres, right-handed, +Y up, +Z to the camera".ljust(80)
# STL has no unit; programs for 3D printing read millimetres.
STL_UNITS_PER_METRE: Final = 1000
# A material without gloss, whose colour is the picture's (Wavefront MTL).
MATERIAL: Final = """\
newmtl skin
Ka 1 1 1
Kd 1 1 1
Ks 0 0 0
illum 1
map_Kd face.jpg
"""
# Files in a zip need a date; a fixed one gives the same bytes for the same mesh.
ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)
OBJ_COMMENT: Final = "# protome; metres, right-handed, +Y up, +Z to the camera\n"


def write_ply(mesh: Mesh) -> bytes:
    """Write a binary little-endian PLY 1.0 file.

    It has normals and, if the mesh has them, sRGB colours and the quality of each vertex.
    """
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if mesh.colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    if mesh.quality is not None:
        fields += [("seen", "u1"), ("confidence", "<f4")]
    vertices = np.empty(len(mesh.positions), np.dtype(fields))
    for axis, name in enumerate("xyz"):
        vertices[name] = mesh.positions[:, axis]
        vertices["n" + name] = mesh.normals[:, axis]
    if mesh.colours is not None:
        for channel, name in enumerate(("red", "green", "blue")):
            vertices[name] = mesh.colours[:, channel]
    if mesh.quality is not None:
        vertices["seen"] = mesh.quality.seen
        vertices["confidence"] = mesh.quality.confidence
    faces = np.empty(len(mesh.triangles), np.dtype([("n", "u1"), ("v", "<u4", (3,))]))
    faces["n"] = 3
    faces["v"] = mesh.triangles
    types = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment protome; metres, right-handed, +Y up, +Z to the camera",
        f"element vertex {len(vertices)}",
        *(f"property {types[kind]} {name}" for name, kind in fields),
        f"element face {len(faces)}",
        "property list uchar uint vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def write_obj(mesh: Mesh) -> bytes:
    """Write a Wavefront OBJ file.

    Colours, sRGB 0 to 1, follow the coordinates as many readers expect.
    """
    if mesh.colours is None:
        vertices = _lines("v %.6f %.6f %.6f\n", mesh.positions)
    else:
        rows = np.concatenate([mesh.positions, mesh.colours / 255.0], axis=1)
        vertices = _lines("v %.6f %.6f %.6f %.4f %.4f %.4f\n", rows)
    normals = _lines("vn %.4f %.4f %.4f\n", mesh.normals)
    corners = _lines("f %d//%d %d//%d %d//%d\n", np.repeat(mesh.triangles + 1, 2, axis=1))
    return "".join((OBJ_COMMENT, vertices, normals, corners)).encode()


def write_obj_zip(mesh: Mesh, picture: bytes) -> bytes:
    """Write a zip with a textured OBJ file, its material and its picture.

    Args:
        mesh: with ``uv``. Vertices that a seam of the texture splits are one vertex with several
            texture coordinates.
        picture: the texture, a JPEG.
    """
    assert mesh.uv is not None
    _, first, number = np.unique(mesh.positions, axis=0, return_index=True, return_inverse=True)
    # OBJ counts rows from the bottom.
    uv = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1)
    corners = np.stack([number.ravel()[mesh.triangles], mesh.triangles, mesh.triangles], axis=2)
    text = "".join((
        OBJ_COMMENT,
        "mtllib face.mtl\nusemtl skin\n",
        _lines("v %.6f %.6f %.6f\n", mesh.positions[first]),
        _lines("vt %.6f %.6f\n", uv),
        _lines("vn %.4f %.4f %.4f\n", mesh.normals),
        _lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", corners.reshape(-1, 9) + 1),
    ))  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data, packing in (
            ("face.obj", text.encode(), zipfile.ZIP_DEFLATED),
            ("face.mtl", MATERIAL.encode(), zipfile.ZIP_STORED),
            ("face.jpg", picture, zipfile.ZIP_STORED),
        ):
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            archive.writestr(entry, data, packing, compresslevel=1)
    return file.getvalue()


def _lines(line: str, rows: npt.NDArray[Any]) -> str:
    # One formatting call for all rows is several times faster than numpy.savetxt.
    return line * len(rows) % tuple(rows.ravel().tolist())


def write_stl(mesh: Mesh) -> bytes:
    """Write a binary STL file, geometry only, in millimetres."""
    corners = STL_UNITS_PER_METRE * mesh.positions[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    facets = np.zeros(
        len(corners), np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("_", "<u2")])
    )
    facets["normal"] = normals
    facets["corners"] = corners
    return STL_HEADER + np.uint32(len(facets)).tobytes() + facets.tobytes()
