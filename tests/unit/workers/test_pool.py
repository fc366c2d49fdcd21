"""Worker processes: results, errors, deaths and hangs, each the trouble of one task only."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protome.errors import (
    Internal,
    NoFaceFound,
    NoSurface,
    Overloaded,
    UnsupportedFormat,
    WorkerDied,
)
from protome.image.prepare import PreparedPhoto
from protome.scheduling.fair_queue import Turn
from protome.workers.pool import Rank
from tests.unit.workers.rig import (
    BEGIN,
    FINISH,
    MESH_JOB,
    PATIENT,
    PHOTO_JOB,
    PORTRAIT,
    Rig,
    assert_ball,
    descriptors,
    inputs,
    pids,
    play,
    running,
    until,
)


def test_both_stages_give_their_results(sample_photo: bytes) -> None:
    async def scenario(rig: Rig) -> None:
        photo: PreparedPhoto
        photo, pictures = await rig.pool.run("prepare", PHOTO_JOB, [sample_photo], BEGIN)
        assert (photo.width, len(photo.faces)) == (512, 1)
        assert [picture.shape for picture in pictures] == [PORTRAIT.shape] * 2
        assert pictures[0].any()
        assert_ball(await rig.build())
        assert rig.restarts == 0

    play(scenario)


def test_results_are_copies_that_outlive_the_next_task() -> None:
    async def scenario(rig: Rig) -> None:
        _, (first,) = await rig.pool.run("build", MESH_JOB, inputs(), FINISH)
        before = first.tobytes()
        await rig.build(radius=20.0)
        assert first.tobytes() == before

    play(scenario)


@pytest.mark.parametrize("kind", ["errors of a task", "defects of ours"])
def test_a_failing_task_leaves_its_worker_alive(kind: str, sample_photo: bytes) -> None:
    async def errors(rig: Rig) -> None:
        with pytest.raises(UnsupportedFormat) as error:
            await rig.pool.run("prepare", PHOTO_JOB, [b"GIF89a" + bytes(50)], BEGIN)
        assert error.value.facts["formats"] == "JPEG,PNG,WebP,HEIC,AVIF"
        assert error.value.facts["found"] == "a GIF picture"
        with pytest.raises(NoSurface):
            await rig.build(radius=0.1)
        job = replace(PHOTO_JOB, min_score=1.1)
        with pytest.raises(NoFaceFound):
            await rig.pool.run("prepare", job, [sample_photo], BEGIN)

    async def defects(rig: Rig) -> None:
        for name, wrong in [("no such task", []), ("build", [PORTRAIT])]:
            with pytest.raises(Internal) as error:
                await rig.pool.run(name, MESH_JOB, wrong, BEGIN)
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


async def _order(rig: Rig, queue: Sequence[tuple[str, Turn]]) -> list[str]:
    """The order in which tasks end that came in this one while the worker stood still."""
    (worker,) = pids()
    os.kill(worker, signal.SIGSTOP)
    order: list[str] = []

    def note(name: str) -> Callable[[asyncio.Task[Any]], None]:
        return lambda task: order.append(name)

    tasks = []
    for name, turn in queue:
        tasks.append(await rig.begin(turn))
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
                ("background", Turn(priority=1, rank=Rank.BEGIN)),
                ("a 1", Turn("a", rank=Rank.BEGIN)),
                ("a 2", Turn("a", rank=Rank.BEGIN)),
                ("a 3", Turn("a", rank=Rank.BEGIN)),
                ("b 1", Turn("b", rank=Rank.BEGIN)),
                ("finish", Turn(priority=1, rank=Rank.FINISH)),
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
        late = await rig.begin(latest_start=time.monotonic(), on_spent=spent.append)
        well = await rig.begin(latest_start=time.monotonic() + 60, on_spent=spent.append)
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
        task = await rig.begin(on_spent=spent.append)
        task.cancel()
        await until(lambda: len(spent) == 1)
        assert 0 < spent[0] < PATIENT

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
