"""Turn a volume into an encoded mesh: surface, budget, appearance, file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from protome.confidence import ExpectedError
from protome.geometry import METRES_PER_PIXEL, U8, Frame, Level, resample

from .encode import EncodedMesh, Encoding, encode
from .mesh import apply_appearance
from .simplify import UNLIMITED, MeshBudget, simplify_to_budget
from .surface import Surface, extract
from .vertex_quality import rate_vertices


@dataclass(frozen=True, slots=True)
class MeshJob:
    """What ``build`` is asked for; ``frame`` is the part of the crop that shows the photo,
    ``expected`` what the model says about the face's errors, if it does."""

    level: Level
    encoding: Encoding
    frame: Frame
    budget: MeshBudget = UNLIMITED
    expected: ExpectedError | None = None


@dataclass(frozen=True, slots=True)
class BuiltMesh:
    """An encoded mesh and the seconds spent in each stage.

    ``data`` is empty where the bytes travel beside it or are no longer needed. ``error_metres`` is
    the distance of a simplified surface from the full one.
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
        """The same with its bytes."""
        return replace(self, data=data)


def build(job: MeshJob, inputs: Sequence[U8]) -> tuple[BuiltMesh, list[bytes]]:
    """Turn a volume into an encoded mesh.

    Args:
        job: what is wanted.
        inputs: the volume, (depth, height, width), and the portrait, (s, s, 3).

    Returns:
        The mesh without its bytes, and the bytes.

    Raises:
        NoSurface: the volume is empty.
    """
    volume, portrait = inputs
    spent = {"appearance": 0.0, "encode": 0.0}

    def write(surface: Surface) -> EncodedMesh:
        t0 = time.perf_counter()
        quality = (
            rate_vertices(surface, job.frame, job.expected) if job.encoding.vertex_quality else None
        )
        mesh = apply_appearance(surface, job.encoding.appearance, portrait, job.frame, quality)
        t1 = time.perf_counter()
        written = encode(mesh, job.encoding)
        spent["appearance"] += t1 - t0
        spent["encode"] += time.perf_counter() - t1
        return written

    began = time.perf_counter()
    full = extract(resample(volume, job.level))
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
