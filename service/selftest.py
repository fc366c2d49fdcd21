"""Proof before the first request: the built-in photo must give the mesh it is known to give.

The whole line runs, workers included. The expected facts ship beside the weights in
``selftest.json``; ``python -m protome.selftest`` writes them anew for new weights.
"""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from .budget import Budget
from .chunks import Chunk
from .config import Config
from .encode import Compression, Encoding, Format
from .engine import Engine
from .errors import ProtomeError
from .grid import Level
from .inference import Inference
from .line import Event, Line, MeshPiece, Report, Request
from .mesh import Appearance
from .metrics import Metrics
from .model import SHIPPED, Model, ModelError, load_model
from .pool import Pool

SAMPLE: Final = Path(__file__).parent / "sample.jpg"
FACTS: Final = "selftest.json"
# FP16 on a GPU and float32 on a CPU differ by a few thousandths of the surface.
TOLERANCE: Final = 0.03


async def check(model: Model, pool: Pool, inference: Inference, folder: Path = SHIPPED) -> None:
    """Reconstruct the built-in photo and compare.

    A model that has no facts on record (``model_dir`` of the user) need only give a mesh.

    Raises:
        ModelError: no mesh came, or it is not the known one.
    """
    try:
        got = await _facts(model, pool, inference)
    except ProtomeError as error:
        raise ModelError(f"self-test: {error.message}") from None
    expected = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if expected["digest"] != model.digest:
        return
    for name, value in expected["mesh"].items():
        if abs(got[name] - value) > TOLERANCE * abs(value):
            raise ModelError(f"self-test: {name} is {got[name]:.6g}, expected {value:.6g}")


async def _facts(model: Model, pool: Pool, inference: Inference) -> dict[str, float]:
    """Count, extent and enclosed volume of the sample's mesh."""
    chunks: list[Chunk] = []

    async def emit(event: Event) -> None:
        if isinstance(event, MeshPiece):
            chunks.append(event.chunk)
        elif isinstance(event, Report):
            for error in (face.error for face in event.faces if face.error is not None):
                raise error

    # A line of its own: the limits of the user are not for this photo, nor his metrics.
    config = Config()
    line = Line(config, model, pool, inference, Metrics(), Budget(config.max_held_bytes))
    encoding = Encoding(Format.STL, Compression.NONE, Appearance.NONE)
    await line.reconstruct(Request(SAMPLE.read_bytes(), (), 1, (Level.STANDARD,), encoding), emit)
    return _measure(b"".join(chunk.data for chunk in chunks))


def _measure(stl: bytes) -> dict[str, float]:
    (count,) = struct.unpack_from("<I", stl, 80)
    facets = np.frombuffer(
        stl, np.dtype([("n", "<f4", (3,)), ("c", "<f4", (3, 3)), ("_", "<u2")]), count, 84
    )
    corners = facets["c"].astype(np.float64)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    extent = np.ptp(corners.reshape(-1, 3), axis=0)
    return {
        "triangles": float(count),
        "width_metres": float(extent[0]),
        "height_metres": float(extent[1]),
        "depth_metres": float(extent[2]),
        # Divergence theorem; a mesh with holes or turned inside out fails here.
        "volume_cubic_metres": float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6),
    }


async def _record(folder: Path) -> dict[str, Any]:
    model = load_model(folder)
    engine = Engine(model, provider="cpu")
    pool = Pool(1, mailbox_bytes=128 << 20, task_seconds=60)
    inference = Inference(engine, capacity=1, on_batch=Metrics().batch)
    await pool.start()
    inference.start()
    try:
        facts = await _facts(model, pool, inference)
    finally:
        await inference.close()
        await pool.close()
    return {"digest": model.digest, "mesh": {k: float(f"{v:.5g}") for k, v in facts.items()}}


if __name__ == "__main__":
    record = asyncio.run(_record(SHIPPED))
    (SHIPPED / FACTS).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
