"""The pool when workers die, hang, lie or do not start."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from protome.errors import (
    WorkerDied,
    WorkerMemory,
)
from protome.geometry import HAIR_SHAPE, Level
from protome.image.decode import ImageLimits
from protome.mesh.build import MeshJob
from protome.mesh.shape.simplify import MeshBudget
from protome.workers.handle import WorkerHandle
from protome.workers.pool import Pool
from tests.support.shapes import seeded
from tests.unit.workers.rig import (
    BEGIN,
    FINISH,
    HEAD_FILE,
    MESH_JOB,
    PATIENT,
    PHOTO_JOB,
    Rig,
    assert_ball,
    descriptors,
    inputs,
    pids,
    play,
    until,
)


def test_a_worker_killed_before_it_takes_its_task_costs_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        for pid in pids():
            os.kill(pid, signal.SIGSTOP)
        tasks = [await rig.begin() for _ in range(4)]
        victim, other = pids()
        os.kill(victim, signal.SIGKILL)
        os.kill(other, signal.SIGCONT)
        for answer in await asyncio.gather(*tasks):
            assert_ball(answer)
        await healed(rig, [victim], count=2)

    play(scenario, count=2)


def test_a_worker_killed_in_a_task_takes_only_that_task_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(rig: Rig) -> None:
        noise = seeded(0).integers(0, 256, HAIR_SHAPE, np.uint8)
        job = MeshJob(Level.FINE, MESH_JOB.encoding, MESH_JOB.frame, MeshBudget(max_bytes=1024))
        before = {pid: psutil.Process(pid).cpu_times().user for pid in pids()}
        endless = asyncio.create_task(rig.pool.run("build", job, inputs(hair=noise), FINISH))
        tasks = [await rig.begin() for _ in range(4)]

        def busy() -> list[int]:
            return [
                pid for pid in pids() if psutil.Process(pid).cpu_times().user > before[pid] + 0.3
            ]

        await until(lambda: bool(busy()))
        (victim,) = busy()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await endless
        for answer in await asyncio.gather(*tasks):
            assert_ball(answer)
        await healed(rig, [victim], count=2)
        assert f"worker {victim} ended with -9" in caplog.text

    play(scenario, count=2)


async def healed(rig: Rig, gone: Sequence[int], count: int) -> None:
    """Until the pool is whole again, and at work."""
    await until(lambda: len(set(pids()) - set(gone)) == count)
    assert_ball(await rig.build())
    assert rig.restarts == len(gone)


def test_a_worker_killed_at_rest_is_replaced_before_the_next_task() -> None:
    async def scenario(rig: Rig) -> None:
        (victim,) = pids()
        os.kill(victim, signal.SIGKILL)
        await asyncio.sleep(0.3)
        assert_ball(await rig.build())
        await healed(rig, [victim], count=1)

    play(scenario)


def test_a_successor_that_dies_while_it_starts_is_counted_too() -> None:
    """Its process is there long before it is ready."""

    async def scenario(rig: Rig) -> None:
        gone: list[int] = []

        def another() -> bool:
            return bool(set(pids()) - set(gone))

        for killed in range(1, 4):
            await until(another)
            assert rig.pool.ready == (1 if killed == 1 else 0)
            gone += pids()
            os.kill(gone[-1], signal.SIGKILL)
            await until(lambda k=killed: rig.restarts == k)  # type: ignore[misc]
        await healed(rig, gone, count=1)
        assert rig.pool.ready == 1

    play(scenario)


def test_a_successor_that_hangs_while_it_starts_leaves_its_place_to_another() -> None:
    """Soon at first; on a slow machine, where all are too slow, each has longer than the last."""

    async def scenario(rig: Rig) -> None:
        (victim,) = pids()
        os.kill(victim, signal.SIGKILL)
        await until(lambda: bool(set(pids()) - {victim}))
        (hanging,) = pids()
        os.kill(hanging, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: rig.restarts >= 2)
        # Ten seconds unless told otherwise.
        assert time.monotonic() - began < 9
        await until(lambda: rig.pool.ready == 1)
        assert hanging not in pids()
        assert_ball(await rig.build())

    play(scenario, replacement_seconds=0.5)


def test_a_hanging_worker_is_replaced_and_only_its_task_lost() -> None:
    async def scenario(rig: Rig) -> None:
        (victim,) = pids()
        os.kill(victim, signal.SIGSTOP)
        hanging = await rig.begin()
        waiting = await rig.begin()
        began = time.monotonic()
        with pytest.raises(WorkerDied) as error:
            await hanging
        assert time.monotonic() - began < 20
        assert error.value.facts["limit_seconds"] == "1.0"
        assert_ball(await waiting)
        await healed(rig, [victim], count=1)

    play(scenario, task_seconds=1.0)


def test_restarts_leak_no_descriptors() -> None:
    async def scenario(rig: Rig) -> None:
        counts = []
        for _ in range(4):
            (victim,) = pids()
            os.kill(victim, signal.SIGKILL)
            await until(lambda: bool(set(pids()) - {victim}))  # noqa: B023
            assert_ball(await rig.build())
            counts.append(descriptors())
        assert counts[-1] <= counts[0]

    play(scenario)


def test_a_pool_of_which_one_worker_fails_to_start_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = WorkerHandle.start.__func__  # type: ignore[attr-defined]
    calls = iter(range(10))

    async def sometimes(
        cls: type[WorkerHandle], head: Path, mailbox_bytes: int, memory_bytes: int
    ) -> WorkerHandle:
        if next(calls) >= 1:
            raise WorkerDied("no")
        made: WorkerHandle = await start(cls, head, mailbox_bytes, memory_bytes)
        return made

    monkeypatch.setattr(WorkerHandle, "start", classmethod(sometimes))
    with pytest.raises(WorkerDied):
        asyncio.run(Rig(2, PATIENT).pool.start())
    deadline = time.monotonic() + 5
    while pids() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_failed_start_leaks_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_more_processes(*args: object, **options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_more_processes)

    async def main() -> None:
        before = descriptors()
        for _ in range(5):
            with pytest.raises((OSError, WorkerDied)):
                await WorkerHandle.start(HEAD_FILE, 1 << 20)
        assert descriptors() <= before

    asyncio.run(main())


def test_a_task_that_needs_too_much_memory_fails_alone(sample_photo: bytes) -> None:
    """The limit is real: a photo that takes more fails, the next finds a fresh worker."""
    large = io.BytesIO()
    picture = Pillow.open(io.BytesIO(sample_photo)).resize((4000, 4000))
    picture.save(large, "PNG", compress_level=1)

    at_rest = _data_at_rest()
    job = replace(PHOTO_JOB, limits=ImageLimits(1 << 26, 1 << 26, 1 << 26))

    async def main() -> None:
        restarts: list[int] = []
        pool = Pool(
            1,
            HEAD_FILE,
            mailbox_bytes=64 << 20,
            task_seconds=PATIENT,
            # What it takes at rest, and a little for small photos.
            memory_bytes=at_rest + (24 << 20),
            on_restart=lambda: restarts.append(1),
        )
        await pool.start()
        try:
            for _ in range(2):
                with pytest.raises(WorkerMemory):
                    await pool.run("prepare", job, [large.getvalue()], BEGIN)
                photo, _ = await pool.run("prepare", job, [sample_photo], BEGIN)
                assert len(photo.faces) == 1
            assert len(restarts) == 2
        finally:
            await pool.close()

    asyncio.run(main())


def _data_at_rest() -> int:
    """VmData of a worker that has done nothing, bytes."""

    async def measure() -> int:
        worker = await WorkerHandle.start(HEAD_FILE, 1 << 20)
        try:
            status = Path(f"/proc/{worker.process.pid}/status")
            text = await asyncio.to_thread(status.read_text)
        finally:
            await worker.stop()
        return 1024 * int(text.split("VmData:")[1].split()[0])

    return asyncio.run(measure())
