"""Encode a mesh, in the best format and compression that the client can read."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from .formats import write_obj, write_ply, write_stl
from .glb import write_glb
from .mesh import Appearance, Mesh


class Format(enum.IntEnum):
    """Containers, best first; the values are those of protome.v1.MeshFormat."""

    GLB = 1
    PLY = 2
    OBJ = 3
    STL = 4


class Compression(enum.IntEnum):
    """Geometry compressions; the values are those of protome.v1.Compression."""

    NONE = 1
    DRACO = 2
    MESHOPT = 3


# By encoding time: meshopt takes a fraction of Draco's (see load_tests/README.md).
BEST_COMPRESSION = (Compression.MESHOPT, Compression.DRACO, Compression.NONE)
WITH_VERTEX_QUALITY = (Format.GLB, Format.PLY)
SUFFIXES = {Format.GLB: ".glb", Format.PLY: ".ply", Format.OBJ: ".obj", Format.STL: ".stl"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How meshes are encoded.

    Attributes:
        format: container.
        compression: compression of the geometry.
        appearance: kind of colour.
        vertex_quality: whether meshes carry the reliability of each vertex; only in the formats
            ``WITH_VERTEX_QUALITY``.
    """

    format: Format
    compression: Compression
    appearance: Appearance
    vertex_quality: bool = False

    @property
    def textured(self) -> bool:
        """Whether meshes carry a texture."""
        return self.appearance is Appearance.TEXTURE


@dataclass(frozen=True, slots=True)
class EncodedMesh:
    """A mesh file with its SHA-256 digest and counts of vertices and triangles."""

    data: bytes
    sha256: bytes
    vertices: int
    triangles: int


def choose(
    formats: Collection[Format],
    compressions: Collection[Compression],
    appearance: Appearance,
    *,
    vertex_quality: bool = False,
) -> Encoding:
    """Return the best encoding that a client can read.

    Args:
        formats: formats it reads; empty means GLB.
        compressions: compressions it reads; NONE is always possible.
        appearance: what it wants; the nearest that the format supports is chosen.
        vertex_quality: whether it wants the reliability of each vertex; not checked here against
            the format.
    """
    format_ = min(formats, default=Format.GLB)
    compression = Compression.NONE
    if format_ is Format.GLB:
        compression = next((c for c in BEST_COMPRESSION if c in compressions), Compression.NONE)
    elif appearance is Appearance.TEXTURE:
        appearance = Appearance.VERTEX_COLOURS
    if format_ is Format.STL:
        appearance = Appearance.NONE
    return Encoding(format_, compression, appearance, vertex_quality)


def encode(mesh: Mesh, encoding: Encoding) -> EncodedMesh:
    """Encode a mesh."""
    if encoding.format is Format.PLY:
        data = write_ply(mesh)
    elif encoding.format is Format.OBJ:
        data = write_obj(mesh)
    elif encoding.format is Format.STL:
        data = write_stl(mesh)
    elif encoding.compression is Compression.DRACO:
        data = write_glb(mesh, "draco")
    elif encoding.compression is Compression.MESHOPT:
        data = write_glb(mesh, "meshopt")
    else:
        data = write_glb(mesh)
    digest = hashlib.sha256(data).digest()
    return EncodedMesh(data, digest, mesh.surface_vertices, len(mesh.triangles))
