"""Worker processes: results, errors, deaths and hangs, each the trouble of one task only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import pickle
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from protome.errors import (
    Internal,
    NoFaceFound,
    NoSurface,
    Overloaded,
    UnsupportedFormat,
    WorkerDied,
    WorkerMemory,
)
from protome.geometry import U8, CropRule, Frame, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import Photo, PhotoJob
from protome.mesh.build import BuiltMesh, MeshJob
from protome.mesh.encode import Compression, Encoding, Format
from protome.mesh.mesh import Appearance
from protome.scheduling.fair_queue import Turn
from protome.workers import pool as pool_module
from protome.workers.handle import Worker
from protome.workers.mailbox import Mailbox, Parcel
from protome.workers.pool import Pool, Rank, Terms
from protome.workers.protocol import Reply
from tests.support.shapes import seeded, sphere_volume

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
VOLUME = sphere_volume(30.0, level=Level.PREVIEW)
PORTRAIT = np.zeros((192, 192, 3), np.uint8)
# Far longer than a task takes, far shorter than a test may.
PATIENT = 30.0
BEGIN, FINISH = Terms(Rank.BEGIN), Terms(Rank.FINISH)


@pytest.fixture(autouse=True)
def heal_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die young here."""
    monkeypatch.setattr(pool_module, "YOUNG_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    left = pids()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "worker processes outlived their pool"


def pids() -> list[int]:
    """Our worker processes."""
    return sorted(child.pid for child in psutil.Process().children() if is_worker(child))


def is_worker(process: psutil.Process) -> bool:
    try:
        return "protome.workers.worker" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


class Rig:
    """A pool and what happened to it."""

    def __init__(self, count: int, task_seconds: float) -> None:
        self.restarts = 0
        self.pool = Pool(
            count, mailbox_bytes=16 << 20, task_seconds=task_seconds, on_restart=self.restarted
        )

    def restarted(self) -> None:
        self.restarts += 1

    async def build(self, terms: Terms = FINISH, volume: U8 = VOLUME) -> BuiltMesh:
        """A small mesh."""
        facts: BuiltMesh
        facts, (data,) = await self.pool.run("build", MESH_JOB, [volume, PORTRAIT], terms)
        return facts.holding(data.tobytes())

    async def begin(self, terms: Terms = FINISH) -> asyncio.Task[BuiltMesh]:
        """The same in the background, once it got to a worker or into the queue."""
        task = asyncio.create_task(self.build(terms))
        for _ in range(4):
            await asyncio.sleep(0)
        return task


Scenario = Callable[[Rig], Awaitable[None]]


@asynccontextmanager
async def running(count: int, task_seconds: float) -> AsyncIterator[Rig]:
    rig = Rig(count, task_seconds)
    await rig.pool.start()
    try:
        async with asyncio.timeout(60):
            yield rig
    finally:
        for pid in pids():
            os.kill(pid, signal.SIGCONT)
        await rig.pool.close()


def play(scenario: Scenario, *, count: int = 1, task_seconds: float = PATIENT) -> None:
    async def main() -> None:
        async with running(count, task_seconds) as rig:
            await scenario(rig)

    asyncio.run(main())


def assert_ball(mesh: BuiltMesh) -> None:
    assert len(mesh.data) == mesh.size == 84 + 50 * mesh.triangles
    assert mesh.triangles > 1000


def test_both_stages_give_their_results(sample_photo: bytes) -> None:
    async def scenario(rig: Rig) -> None:
        photo: Photo
        photo, pictures = await rig.pool.run("prepare", PHOTO_JOB, [sample_photo], BEGIN)
        assert (photo.width, len(photo.faces)) == (512, 1)
        assert [picture.shape for picture in pictures] == [(192, 192, 3)] * 2
        assert pictures[0].any()
        assert_ball(await rig.build())
        assert rig.restarts == 0

    play(scenario)


def test_results_are_copies_that_outlive_the_next_task() -> None:
    async def scenario(rig: Rig) -> None:
        _, (first,) = await rig.pool.run("build", MESH_JOB, [VOLUME, PORTRAIT], FINISH)
        before = first.tobytes()
        await rig.build(volume=sphere_volume(20.0, level=Level.PREVIEW))
        assert first.tobytes() == before

    play(scenario)


@pytest.mark.parametrize("kind", ["errors of a task", "defects of ours"])
def test_a_failing_task_leaves_its_worker_alive(kind: str, sample_photo: bytes) -> None:
    async def errors(rig: Rig) -> None:
        with pytest.raises(UnsupportedFormat) as error:
            await rig.pool.run("prepare", PHOTO_JOB, [b"GIF89a" + bytes(50)], BEGIN)
        assert error.value.facts == {"formats": "JPEG,PNG,WebP"}
        with pytest.raises(NoSurface):
            await rig.build(volume=np.zeros_like(VOLUME))
        job = replace(PHOTO_JOB, min_score=1.1)
        with pytest.raises(NoFaceFound):
            await rig.pool.run("prepare", job, [sample_photo], BEGIN)

    async def defects(rig: Rig) -> None:
        for name, inputs in [("no such task", []), ("build", [PORTRAIT])]:
            with pytest.raises(Internal) as error:
                await rig.pool.run(name, MESH_JOB, inputs, BEGIN)
            assert "Traceback" not in error.value.message
        with pytest.raises(Internal):  # Does not fit into the mailbox.
            await rig.pool.run("build", MESH_JOB, [np.zeros(17 << 20, np.uint8)], BEGIN)

    async def scenario(rig: Rig) -> None:
        before = pids()
        await (errors if kind.startswith("errors") else defects)(rig)
        assert_ball(await rig.build())
        assert pids() == before
        assert rig.restarts == 0

    play(scenario)


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
        noise = seeded(0).integers(0, 256, (200, 192, 192), np.uint8)
        job = MeshJob(Level.FINE, MESH_JOB.encoding, MESH_JOB.frame)
        before = {pid: psutil.Process(pid).cpu_times().user for pid in pids()}
        endless = asyncio.create_task(rig.pool.run("build", job, [noise, PORTRAIT], FINISH))
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


async def until(condition: Callable[[], bool]) -> None:
    """Poll; a process that comes or goes tells nobody."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


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


def test_a_successor_that_hangs_while_it_starts_leaves_its_place_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Soon at first; on a slow machine, where all are too slow, each has longer than the last."""
    monkeypatch.setattr(pool_module, "SUCCESSOR_SECONDS", 0.5)

    async def scenario(rig: Rig) -> None:
        (victim,) = pids()
        os.kill(victim, signal.SIGKILL)
        await until(lambda: bool(set(pids()) - {victim}))
        (hanging,) = pids()
        os.kill(hanging, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: rig.restarts >= 2)
        assert time.monotonic() - began < 5
        await until(lambda: rig.pool.ready == 1)
        assert hanging not in pids()
        assert_ball(await rig.build())

    play(scenario)


def _global(module: str, name: str) -> bytes:
    """Pickle's opcode for a global (protocol 4), which may have dots."""
    texts = (b"\x8c" + bytes((len(text),)) + text.encode() for text in (module, name))
    return b"".join(texts) + b"\x93"


def _called(callee: bytes, argument: str) -> bytes:
    return callee + b"\x8c" + bytes((len(argument),)) + argument.encode() + b"\x85R"


NONSENSE = {
    "no pickle": b"\xff" * 40,
    "empty": b"",
    "not a reply": pickle.dumps([1, 2, 3]),
    "an error that is none": pickle.dumps(Reply(error="no")),  # type: ignore[arg-type]
    "outputs that are no parcels": pickle.dumps(Reply(outputs=(1, 2))),  # type: ignore[arg-type]
    "outputs from beyond": pickle.dumps(Reply(outputs=(Parcel(1 << 40, (1 << 40,)),))),
    "outputs before the start": pickle.dumps(Reply(outputs=(Parcel(-64, (8,)),))),
    "a shape of no numbers": pickle.dumps(Reply(outputs=(Parcel(0, ("a",)),))),  # type: ignore[arg-type]
    "a class that is not there": b"\x80\x04" + _global("protome.image.prepare", "Nothing") + b".",
    "a function": b"\x80\x04" + _called(_global("os", "system"), "true") + b".",
    "a way to the built-ins": b"\x80\x04"
    + _called(
        _called(_global("protome.workers.mailbox", "Mailbox.__init__.__builtins__.get"), "eval"),
        "__import__('os').abort()",
    )
    + b".",
    "a class that acts": b"\x80\x04" + _global("protome.workers.mailbox", "Mailbox") + b".",
    "the module's own import": b"\x80\x04" + _global("protome.image.prepare", "Sequence") + b".",
}


class _Liar:
    """A process, and its end of the socket, that says what it is told to."""

    def __init__(self, reply: bytes) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.pid = self.process.pid
        self.returncode = None
        self.heard: Callable[[bytes | Exception], None] = lambda _: None
        self._reply = reply

    def say(self, body: bytes) -> None:
        """The task, which nobody does."""
        asyncio.get_running_loop().call_soon(lambda: self.heard(self._reply))


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_worker_that_talks_nonsense_is_ended(kind: str) -> None:
    """It may be in the hands of whoever sent the photo."""

    async def main() -> None:
        liar: Any = _Liar(NONSENSE[kind])
        mailbox = Mailbox.create(1 << 20)
        with contextlib.closing(mailbox):
            worker = Worker(liar, liar, mailbox)
            answer = worker.ask(
                *("build", None, [b"photo"]),
                take=np.ndarray.copy,
                seconds=PATIENT,
                on_end=lambda: None,
            )
            with pytest.raises(WorkerDied, match="nonsense"):
                await answer
        assert liar.process.wait(10) == -signal.SIGKILL

    asyncio.run(main())


def test_a_hanging_worker_is_replaced_and_only_its_task_lost() -> None:
    async def scenario(rig: Rig) -> None:
        (victim,) = pids()
        os.kill(victim, signal.SIGSTOP)
        hanging = await rig.begin()
        waiting = await rig.begin()
        began = time.monotonic()
        with pytest.raises(WorkerDied) as error:
            await hanging
        assert time.monotonic() - began < 5
        assert error.value.facts["limit_seconds"] == "1.0"
        assert_ball(await waiting)
        await healed(rig, [victim], count=1)

    play(scenario, task_seconds=1.0)


def test_a_task_cancelled_in_the_queue_is_never_done() -> None:
    async def scenario(rig: Rig) -> None:
        (worker,) = pids()
        os.kill(worker, signal.SIGSTOP)
        running = await rig.begin()
        gone, stays = await rig.begin(), await rig.begin()
        assert rig.pool.waiting == 2
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert rig.pool.waiting == 1
        os.kill(worker, signal.SIGCONT)
        assert_ball(await running)
        assert_ball(await stays)
        assert rig.pool.waiting == 0
        assert rig.restarts == 0

    play(scenario)


def test_a_task_cancelled_while_it_runs_gives_its_worker_back() -> None:
    async def scenario(rig: Rig) -> None:
        (worker,) = pids()
        os.kill(worker, signal.SIGSTOP)
        gone = await rig.begin()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        waiting = await rig.begin()
        assert rig.pool.waiting == 1, "its memory is still in use"
        os.kill(worker, signal.SIGCONT)
        assert_ball(await waiting)
        assert pids() == [worker]

    play(scenario)


async def _order(rig: Rig, queue: Sequence[tuple[str, Terms]]) -> list[str]:
    """The order in which tasks end that came in this one while the worker stood still."""
    (worker,) = pids()
    os.kill(worker, signal.SIGSTOP)
    order: list[str] = []

    def note(name: str) -> Callable[[asyncio.Task[Any]], None]:
        return lambda task: order.append(name)

    tasks = []
    for name, terms in queue:
        tasks.append(await rig.begin(terms))
        tasks[-1].add_done_callback(note(name))
    os.kill(worker, signal.SIGCONT)
    await asyncio.gather(*tasks)
    return order


def test_finishing_goes_before_beginning_and_first_come_before_later() -> None:
    async def scenario(rig: Rig) -> None:
        order = await _order(
            rig,
            [
                ("running", BEGIN),
                ("begin 1", BEGIN),
                ("begin 2", BEGIN),
                ("finish 1", FINISH),
                ("finish 2", FINISH),
            ],
        )
        assert order == ["running", "finish 1", "finish 2", "begin 1", "begin 2"]

    play(scenario)


def test_streams_take_turns_and_the_background_waits() -> None:
    async def scenario(rig: Rig) -> None:
        order = await _order(
            rig,
            [
                ("running", BEGIN),
                ("background", Terms(Rank.BEGIN, Turn(priority=1))),
                ("a 1", Terms(Rank.BEGIN, Turn("a"))),
                ("a 2", Terms(Rank.BEGIN, Turn("a"))),
                ("a 3", Terms(Rank.BEGIN, Turn("a"))),
                ("b 1", Terms(Rank.BEGIN, Turn("b"))),
                ("finish", Terms(Rank.FINISH, Turn(priority=1))),
            ],
        )
        assert order == ["running", "finish", "a 1", "b 1", "a 2", "a 3", "background"]

    play(scenario)


def test_what_got_too_late_while_it_waited_is_not_begun() -> None:
    async def scenario(rig: Rig) -> None:
        (worker,) = pids()
        os.kill(worker, signal.SIGSTOP)
        spent: list[float] = []
        running = await rig.begin()
        late = await rig.begin(Terms(Rank.FINISH, latest=time.monotonic(), on_spent=spent.append))
        well = await rig.begin(
            Terms(Rank.FINISH, latest=time.monotonic() + 60, on_spent=spent.append)
        )
        os.kill(worker, signal.SIGCONT)
        await asyncio.gather(running, well)
        with pytest.raises(Overloaded):
            await late
        assert len(spent) == 1
        assert spent[0] > 0
        assert rig.pool.waiting == 0

    play(scenario)


def test_time_spent_for_a_caller_that_left_is_told() -> None:
    async def scenario(rig: Rig) -> None:
        spent: list[float] = []
        task = await rig.begin(Terms(Rank.FINISH, on_spent=spent.append))
        task.cancel()
        await until(lambda: len(spent) == 1)
        assert 0 < spent[0] < PATIENT

    play(scenario)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


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


def test_a_pool_that_was_closed_leaves_no_descriptors_and_takes_no_tasks() -> None:
    async def one() -> None:
        async with running(1, PATIENT) as rig:
            assert_ball(await rig.build())
        with pytest.raises(WorkerDied):
            await rig.build()

    asyncio.run(one())
    before = descriptors()
    asyncio.run(one())
    assert descriptors() <= before


def test_closing_answers_what_runs_and_what_waits() -> None:
    async def main() -> None:
        rig = Rig(1, PATIENT)
        await rig.pool.start()
        os.kill(pids()[0], signal.SIGSTOP)
        tasks = [await rig.begin(), await rig.begin()]
        await rig.pool.close()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, WorkerDied) for answer in answers)

    asyncio.run(main())


def test_a_pool_of_which_one_worker_fails_to_start_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Worker.start.__func__  # type: ignore[attr-defined]
    calls = iter(range(10))

    async def sometimes(cls: type[Worker], mailbox_bytes: int, memory_bytes: int) -> Worker:
        if next(calls) >= 1:
            raise WorkerDied("no")
        made: Worker = await start(cls, mailbox_bytes, memory_bytes)
        return made

    monkeypatch.setattr(Worker, "start", classmethod(sometimes))
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
                await Worker.start(1 << 20)
        assert descriptors() <= before

    asyncio.run(main())


def test_an_interrupt_from_the_terminal_does_not_reach_workers() -> None:
    async def scenario(rig: Rig) -> None:
        assert_ball(await rig.build())
        assert all(os.getpgid(pid) != os.getpgid(0) for pid in pids())

    play(scenario)


def test_closing_right_after_starting_stops_the_workers() -> None:
    async def main() -> None:
        rig = Rig(1, PATIENT)
        await rig.pool.start()
        await rig.pool.close()

    asyncio.run(main())
    assert pids() == []


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
        worker = await Worker.start(1 << 20)
        try:
            status = Path(f"/proc/{worker.process.pid}/status")
            text = await asyncio.to_thread(status.read_text)
        finally:
            await worker.stop()
        return 1024 * int(text.split("VmData:")[1].split()[0])

    return asyncio.run(measure())
