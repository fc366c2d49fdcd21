"""Check before the first request that the built-in photo gives the expected mesh.

The photo is reconstructed by the workers and the network that will serve, in every batch size. The
expected facts are in ``selftest.json`` beside the weights; ``python -m protome.pipeline.selftest``
rewrites them for new weights.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import U8, Frame, Level
from protome.mesh.build import pack
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.mesh.files.formats import STL_UNITS_PER_METRE
from protome.model.card import SHIPPED, Model, ModelError, load_model
from protome.model.engine import Engine
from protome.sample import SAMPLE
from protome.scheduling.fair_queue import Turn
from protome.threads import run_in_thread
from protome.workers.pool import Pool, Rank

from .local import LocalPipeline
from .request import Request

FACTS: Final = "selftest.json"
# TF32 on a GPU and float32 on a CPU differ by a few thousandths of the surface.
TOLERANCE: Final = 0.03
LEVEL: Final = Level.STANDARD
STL: Final = Encoding(Format.STL, Compression.NONE, Appearance.NONE)


async def check(model: Model, engine: Engine, pool: Pool, folder: Path = SHIPPED) -> None:
    """Reconstruct the built-in photo with every batch size and compare the meshes.

    Args:
        model: that will be served.
        engine: that runs it.
        pool: the workers.
        folder: folder of the model; without recorded facts any mesh is accepted.

    Raises:
        ModelError: no mesh could be built, or it differs from the expected one.
    """
    expected = _expected(model, folder)
    try:
        crop = await _crop(model, pool)
        for bucket in engine.buckets:
            for row in {0, bucket - 1}:
                _compare(await _facts(engine, pool, crop, bucket, row), expected, bucket)
    except ProtomeError as error:
        raise ModelError(f"self-test: {error.message}") from None


def _expected(model: Model, folder: Path) -> Mapping[str, float]:
    try:
        record = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise ModelError(f"{folder / FACTS} cannot be read: {error}") from None
    if record.get("digest") != model.digest:
        raise ModelError(f"{folder / FACTS} belongs to another model")
    mesh: Mapping[str, float] = record["mesh"]
    return mesh


def _compare(got: Mapping[str, float], expected: Mapping[str, float], bucket: int) -> None:
    for name, value in expected.items():
        if abs(got[name] - value) > TOLERANCE * abs(value):
            raise ModelError(
                f"self-test, batch of {bucket}: {name} is {got[name]:.6g}, expected {value:.6g}"
            )


def _request() -> Request:
    return Request(SAMPLE.read_bytes(), max_faces=1, levels=(LEVEL,), encoding=STL)


async def _crop(model: Model, pool: Pool) -> U8:
    request = _request()
    job = request.photo_job(Config(), model.rule)
    _, pictures = await pool.run("prepare", job, [request.image], Turn(rank=Rank.BEGIN))
    crop: U8 = pictures[0]
    return crop


async def _facts(engine: Engine, pool: Pool, crop: U8, bucket: int, row: int) -> dict[str, float]:
    """Measure the sample's mesh, made from one row of a batch."""
    predictions = await run_in_thread(engine.run, [crop] * bucket)
    job = _request().mesh_job(LEVEL, Frame())
    inputs = pack(predictions[row].vertices, predictions[row].hair, crop)
    _, (stl,) = await pool.run("build", job, inputs, Turn(rank=Rank.FINISH))
    return _measure(stl.tobytes())


def _measure(stl: bytes) -> dict[str, float]:
    """Return the number of triangles, the extents and the enclosed volume of a binary STL."""
    (count,) = struct.unpack_from("<I", stl, 80)
    facets = np.frombuffer(
        stl, np.dtype([("n", "<f4", (3,)), ("c", "<f4", (3, 3)), ("_", "<u2")]), count, 84
    )
    corners = facets["c"].astype(np.float64) / STL_UNITS_PER_METRE
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    extent = np.ptp(corners.reshape(-1, 3), axis=0)
    return {
        "triangles": float(count),
        "width_metres": float(extent[0]),
        "height_metres": float(extent[1]),
        "depth_metres": float(extent[2]),
        # Divergence theorem; wrong for a mesh with holes or with inverted triangles.
        "volume_cubic_metres": float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6),
    }


def record(folder: Path) -> dict[str, Any]:
    """Return the facts to put on record for a model, measured in this process."""
    pipeline = LocalPipeline(load_model(folder))
    _, (face,) = pipeline.reconstruct(_request())
    facts = _measure(face.meshes[0].data)
    mesh = {name: float(f"{value:.5g}") for name, value in facts.items()}
    return {"digest": pipeline.model.digest, "mesh": mesh}


if __name__ == "__main__":
    text = json.dumps(record(SHIPPED), indent=2) + "\n"
    (SHIPPED / FACTS).write_text(text, encoding="utf-8")
