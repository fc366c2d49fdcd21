"""Encode a mesh, in the best format and compression that the client can read."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from protome.mesh.colour.mesh import Appearance, Mesh

from .face_facts import FaceFacts
from .formats import write_obj, write_obj_zip, write_ply, write_stl
from .glb import write_glb
from .picture import write_jpeg
from .quantise import quantise


class Format(enum.IntEnum):
    """Containers; the values are those of protome.v1.MeshFormat."""

    GLB = 1
    PLY = 2
    OBJ = 3
    STL = 4
    OBJ_ZIP = 5


class Compression(enum.IntEnum):
    """Geometry compressions; the values are those of protome.v1.Compression."""

    NONE = 1
    DRACO = 2
    MESHOPT = 3


BEST_FORMAT = (Format.GLB, Format.OBJ_ZIP, Format.PLY, Format.OBJ, Format.STL)
# Range of ``Encoding.max_texture_side``, pixels.
TEXTURE_SIDES = (256, 2048)
WITH_TEXTURE = (Format.GLB, Format.OBJ_ZIP)
# By encoding time: meshopt takes a fraction of Draco's (see load_tests/README.md).
BEST_COMPRESSION = (Compression.MESHOPT, Compression.DRACO, Compression.NONE)
WITH_VERTEX_QUALITY = (Format.GLB, Format.PLY)
SUFFIXES = {
    Format.GLB: ".glb",
    Format.PLY: ".ply",
    Format.OBJ: ".obj",
    Format.STL: ".stl",
    Format.OBJ_ZIP: ".zip",
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How meshes are encoded.

    Attributes:
        format: container.
        compression: compression of the geometry.
        appearance: kind of colour.
        vertex_quality: whether meshes carry the reliability of each vertex; only in the formats
            ``WITH_VERTEX_QUALITY``.
        max_texture_side: longest side of a texture, pixels; 0: no limit.
    """

    format: Format
    compression: Compression
    appearance: Appearance
    vertex_quality: bool = False
    max_texture_side: int = 0

    @property
    def textured(self) -> bool:
        """Whether meshes carry a texture."""
        return self.appearance is Appearance.TEXTURE


@dataclass(frozen=True, slots=True)
class EncodedMesh:
    """A mesh file with its SHA-256 digest and counts of vertices and triangles.

    ``picture_bytes`` is the size of the texture in the file, 0 if it has none.
    """

    data: bytes
    sha256: bytes
    vertices: int
    triangles: int
    picture_bytes: int = 0


def choose(
    formats: Collection[Format],
    compressions: Collection[Compression],
    appearance: Appearance,
    *,
    vertex_quality: bool = False,
    max_texture_side: int = 0,
) -> Encoding:
    """Return the best encoding that a client can read.

    Args:
        formats: formats it reads; empty means GLB.
        compressions: compressions it reads; NONE is always possible.
        appearance: what it wants; the nearest that the format supports is chosen.
        vertex_quality: whether it wants the reliability of each vertex; not checked here against
            the format.
        max_texture_side: longest side of a texture that it takes, pixels; 0: any.
    """
    format_ = next((f for f in BEST_FORMAT if f in formats), Format.GLB)
    compression = Compression.NONE
    if format_ is Format.GLB:
        compression = next((c for c in BEST_COMPRESSION if c in compressions), Compression.NONE)
    if format_ is Format.OBJ_ZIP:
        appearance = Appearance.TEXTURE
    elif format_ is Format.STL:
        appearance = Appearance.NONE
    elif appearance is Appearance.TEXTURE and format_ not in WITH_TEXTURE:
        appearance = Appearance.VERTEX_COLOURS
    return Encoding(format_, compression, appearance, vertex_quality, max_texture_side)


def encode(
    mesh: Mesh,
    encoding: Encoding,
    facts: FaceFacts | None = None,
    *,
    max_picture_bytes: int = 0,
) -> EncodedMesh:
    """Encode a mesh.

    Args:
        mesh: the mesh; only the formats ``WITH_TEXTURE`` use its picture.
        encoding: how.
        facts: what a GLB says about the face, or None.
        max_picture_bytes: a texture is reduced until its file fits; 0: no limit.
    """
    picture = b""
    if mesh.picture is not None and encoding.format in WITH_TEXTURE:
        picture = write_jpeg(mesh.picture, encoding.max_texture_side, max_picture_bytes)
    if encoding.format is Format.PLY:
        data = write_ply(mesh)
    elif encoding.format is Format.OBJ:
        data = write_obj(mesh)
    elif encoding.format is Format.STL:
        data = write_stl(mesh)
    elif encoding.format is Format.OBJ_ZIP:
        data = write_obj_zip(mesh, picture)
    elif encoding.compression is Compression.NONE:
        data = write_glb(mesh, picture=picture, facts=facts)
    else:
        quantised = quantise(mesh)
        mesh = quantised.mesh
        name: Literal["draco", "meshopt"]
        name = "draco" if encoding.compression is Compression.DRACO else "meshopt"
        data = write_glb(quantised, name, picture=picture, facts=facts)
    digest = hashlib.sha256(data).digest()
    return EncodedMesh(data, digest, mesh.surface_vertices, len(mesh.triangles), len(picture))
