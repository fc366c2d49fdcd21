"""Build an encoded mesh of a head: surface, simplification, appearance, file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from protome.confidence import ExpectedError
from protome.geometry import F32, METRES_PER_PIXEL, U8, Frame, Level
from protome.mesh.colour.mesh import apply_appearance
from protome.mesh.colour.vertex_quality import rate_vertices
from protome.mesh.files.encode import EncodedMesh, Encoding, encode
from protome.mesh.files.face_facts import FaceFacts
from protome.mesh.shape.head import Head
from protome.mesh.shape.simplify import UNLIMITED, MeshBudget, simplify_to_budget
from protome.mesh.shape.surface import MIN_TRIANGLES, Surface, compose


@dataclass(frozen=True, slots=True)
class MeshJob:
    """Arguments of :func:`build`.

    Attributes:
        level: level of detail.
        encoding: format, compression and appearance.
        frame: the part of the crop that the photo covers.
        budget: upper limits of the mesh.
        expected: errors that the model expects of the face; None: unknown or not needed.
        facts: what the file says about the face, if its format can.
        turn: (3, 3) rotation of the finished mesh, or None.
    """

    level: Level
    encoding: Encoding
    frame: Frame
    budget: MeshBudget = UNLIMITED
    expected: ExpectedError | None = None
    facts: FaceFacts | None = None
    turn: F32 | None = None


@dataclass(frozen=True, slots=True)
class BuiltMesh:
    """An encoded mesh and the time of each stage.

    Attributes:
        level: level of detail.
        data: the file; empty where it is passed separately or no longer needed.
        size: bytes of the file.
        sha256: digest of the file, 32 bytes.
        vertices: vertices of the surface, before any are split along texture seams.
        triangles: triangles of the mesh.
        surface_seconds: time of surface extraction and simplification.
        appearance_seconds: time of colours and vertex quality.
        encode_seconds: time of writing the file.
        error_metres: distance of a simplified surface from the full one; 0 if not simplified.
    """

    level: Level
    data: bytes
    size: int
    sha256: bytes
    vertices: int
    triangles: int
    surface_seconds: float
    appearance_seconds: float
    encode_seconds: float
    error_metres: float = 0.0

    def holding(self, data: bytes) -> BuiltMesh:
        """Return a copy with these bytes."""
        return replace(self, data=data)


def pack(vertices: F32, hair: U8, portrait: U8) -> list[U8]:
    """Return the inputs of :func:`build` as a mailbox takes them: as bytes.

    Args:
        vertices: (N, 3) float32, the posed head's vertices in crop coordinates.
        hair: (42, 52, 52) uint8, the hair grid.
        portrait: (s, s, 3) uint8 RGB, the crop at the resolution that colours are taken at.
    """
    return [np.ascontiguousarray(vertices, np.float32).view(np.uint8), hair, portrait]


def build(head: Head, job: MeshJob, inputs: Sequence[U8]) -> tuple[BuiltMesh, list[bytes]]:
    """Build an encoded mesh of a head.

    Args:
        head: triangles of the head's vertices.
        job: options.
        inputs: vertices, hair and portrait, from :func:`pack`.

    Returns:
        The mesh without its file, and the file.

    Raises:
        NoSurface: vertices and hair enclose no head.
        ValueError: the vertices are not those of this head.
    """
    packed, hair, portrait = inputs
    vertices = packed.view(np.float32)
    spent = {"appearance": 0.0, "encode": 0.0}
    limit = job.budget.max_bytes
    room = 0

    def write(surface: Surface) -> EncodedMesh:
        nonlocal room
        t0 = time.perf_counter()
        quality = (
            rate_vertices(surface, job.frame, job.expected) if job.encoding.vertex_quality else None
        )
        mesh = apply_appearance(
            surface,
            job.encoding.appearance,
            portrait,
            job.frame,
            quality,
            job.turn,
            job.encoding.max_texture_side,
        )
        t1 = time.perf_counter()
        written = encode(mesh, job.encoding, job.facts, max_picture_bytes=room)
        if 0 < limit < len(written.data) and written.picture_bytes:
            # At least half of the limit for the texture, while the surface can still shrink.
            share = limit // 2 if len(surface.triangles) > MIN_TRIANGLES else 1
            room = max(share, limit - len(written.data) + written.picture_bytes)
            if room < written.picture_bytes:
                written = encode(mesh, job.encoding, job.facts, max_picture_bytes=room)
        spent["appearance"] += t1 - t0
        spent["encode"] += time.perf_counter() - t1
        return written

    began = time.perf_counter()
    full = compose(head, vertices, hair, job.level)
    fitted, encoded = simplify_to_budget(full, job.budget, write, lambda written: len(written.data))
    total = time.perf_counter() - began
    built = BuiltMesh(
        job.level,
        b"",
        len(encoded.data),
        encoded.sha256,
        encoded.vertices,
        encoded.triangles,
        total - spent["appearance"] - spent["encode"],
        spent["appearance"],
        spent["encode"],
        fitted.error * METRES_PER_PIXEL,
    )
    return built, [encoded.data]
