"""A pool under test, and what happens to it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from protome.geometry import CROP_SIDE, U8, CropRule, Frame, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import PhotoJob
from protome.mesh.build import BuiltMesh, MeshJob, pack
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.scheduling.fair_queue import Turn
from protome.workers.pool import Pool, Rank
from tests.support.service import is_worker
from tests.support.shapes import CENTRE, balls, no_hair, save_head

PHOTO_JOB = PhotoJob(
    boxes=(),
    max_faces=4,
    min_face_pixels=20,
    min_score=0.6,
    limits=ImageLimits(1 << 20, 1 << 20, 1 << 20),
    rule=CropRule(2.0, 0.1, 100.0),
    textured=False,
)
MESH_JOB = MeshJob(Level.PREVIEW, Encoding(Format.STL, Compression.NONE, Appearance.NONE), Frame())
PORTRAIT = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
HEAD, VERTICES = balls((30.0, CENTRE), finer=4)
_folder = tempfile.TemporaryDirectory()
HEAD_FILE = save_head(HEAD, Path(_folder.name) / "head.npz")
# Far longer than a task takes, far shorter than a test may.
PATIENT = 30.0
BEGIN, FINISH = Turn(rank=Rank.BEGIN), Turn(rank=Rank.FINISH)


def inputs(radius: float = 30.0, hair: U8 | None = None) -> list[U8]:
    """What a ball of this radius is built from."""
    middle = np.array(CENTRE, np.float32)
    vertices = middle + np.float32(radius / 30) * (VERTICES - middle)
    return pack(vertices, no_hair() if hair is None else hair, PORTRAIT)


def pids() -> list[int]:
    """Our worker processes."""
    return sorted(child.pid for child in psutil.Process().children() if is_worker(child))


class Rig:
    """A pool and what happened to it."""

    def __init__(self, count: int, task_seconds: float, **options: Any) -> None:
        self.restarts = 0
        self.pool = Pool(
            count,
            HEAD_FILE,
            mailbox_bytes=16 << 20,
            task_seconds=task_seconds,
            on_restart=self.restarted,
            # Workers die young here.
            restart_interval=0.05,
            **options,
        )

    def restarted(self) -> None:
        self.restarts += 1

    async def build(self, turn: Turn = FINISH, radius: float = 30.0, **how: Any) -> BuiltMesh:
        """A small mesh."""
        facts: BuiltMesh
        facts, (data,) = await self.pool.run("build", MESH_JOB, inputs(radius), turn, **how)
        return facts.holding(data.tobytes())

    async def begin(self, turn: Turn = FINISH, **how: Any) -> asyncio.Task[BuiltMesh]:
        """Build in the background; return once the task is at a worker or in the queue."""
        task = asyncio.create_task(self.build(turn, **how))
        for _ in range(4):
            await asyncio.sleep(0)
        return task


Scenario = Callable[[Rig], Awaitable[None]]


@asynccontextmanager
async def running(count: int, task_seconds: float, **options: Any) -> AsyncIterator[Rig]:
    rig = Rig(count, task_seconds, **options)
    await rig.pool.start()
    try:
        async with asyncio.timeout(120):
            yield rig
    finally:
        for pid in pids():
            os.kill(pid, signal.SIGCONT)
        await rig.pool.close()


def play(
    scenario: Scenario, *, count: int = 1, task_seconds: float = PATIENT, **options: Any
) -> None:
    async def main() -> None:
        async with running(count, task_seconds, **options) as rig:
            await scenario(rig)

    asyncio.run(main())


def assert_ball(mesh: BuiltMesh) -> None:
    assert len(mesh.data) == mesh.size == 84 + 50 * mesh.triangles
    assert mesh.triangles > 1000


async def until(condition: Callable[[], bool]) -> None:
    """Poll: processes that start or end send no event."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
