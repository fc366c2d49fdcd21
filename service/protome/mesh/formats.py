"""Write meshes as PLY, OBJ or STL, the formats without compression and texture."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .mesh import Mesh

STL_HEADER: Final = b"protome; metres, right-handed, +Y up, +Z to the camera".ljust(80)


def write_ply(mesh: Mesh) -> bytes:
    """Write a binary little-endian PLY 1.0 file with normals and, if the mesh has them, sRGB
    colours and the quality of each vertex."""
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
    """Write a Wavefront OBJ file; colours, sRGB 0 to 1, follow the coordinates as many readers
    expect."""
    if mesh.colours is None:
        vertices = _lines("v %.6f %.6f %.6f\n", mesh.positions)
    else:
        rows = np.concatenate([mesh.positions, mesh.colours / 255.0], axis=1)
        vertices = _lines("v %.6f %.6f %.6f %.4f %.4f %.4f\n", rows)
    normals = _lines("vn %.4f %.4f %.4f\n", mesh.normals)
    corners = _lines("f %d//%d %d//%d %d//%d\n", np.repeat(mesh.triangles + 1, 2, axis=1))
    comment = "# protome; metres, right-handed, +Y up, +Z to the camera\n"
    return "".join((comment, vertices, normals, corners)).encode()


def _lines(line: str, rows: npt.NDArray[Any]) -> str:
    # One formatting call for all rows is several times faster than numpy.savetxt.
    return line * len(rows) % tuple(rows.ravel().tolist())


def write_stl(mesh: Mesh) -> bytes:
    """Write a binary STL file, geometry only."""
    corners = mesh.positions[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    facets = np.zeros(
        len(corners), np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("_", "<u2")])
    )
    facets["normal"] = normals
    facets["corners"] = corners
    return STL_HEADER + np.uint32(len(facets)).tobytes() + facets.tobytes()
