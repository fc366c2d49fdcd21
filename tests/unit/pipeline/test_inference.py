"""Many requests, one engine: no request waits for an answer that will not come."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from protome.errors import DeadlinePassed, Internal, Overloaded
from tests.unit.pipeline.rig import Bench, bench, name_of


def test_what_arrives_during_a_batch_makes_up_the_next() -> None:
    async def scenario() -> None:
        async with bench() as b:
            first = await b.ask(1)
            await b.began()
            others = [await b.ask(name) for name in (2, 3, 4, 5, 6)]
            assert b.inference.queued == 5
            b.release(3)
            answers = await asyncio.gather(first, *others)
            assert [name_of(answer) for answer in answers] == [1, 2, 3, 4, 5, 6]
            assert b.engine.batches == [[1], [2, 3, 4, 5], [6]]
            assert [answer.batch_size for answer in answers] == [1, 4, 4, 4, 4, 1]
            assert [facts.faces for facts in b.seen] == [1, 4, 1]
            assert [facts.reason for facts in b.seen] == ["idle", "full", "idle"]
            assert b.inference.queued == 0

    asyncio.run(scenario())


def test_times_are_told_apart() -> None:
    async def scenario() -> None:
        async with bench() as b:
            first = await b.ask(1)
            await b.began()
            second = await b.ask(2)
            await asyncio.sleep(0.1)
            assert b.inference.oldest_age >= 0.09
            b.release(2)
            assert (await first).inference_seconds >= 0.09
            assert (await second).queue_seconds >= 0.09
            assert (await second).inference_seconds < 0.09

    asyncio.run(scenario())


def test_a_report_keeps_what_is_small() -> None:
    async def scenario() -> None:
        async with bench() as b:
            asked = await b.ask(7)
            b.release()
            answer = await asked
            small = answer.without_shape()
            assert small.prediction.vertices.nbytes + small.prediction.hair.nbytes == 0
            assert small.inference_seconds == answer.inference_seconds
            assert name_of(answer) == 7

    asyncio.run(scenario())


def test_a_deadline_that_passes_in_the_queue_wastes_no_work() -> None:
    async def scenario() -> None:
        async with bench() as b:
            running = await b.ask(1)
            await b.began()
            late = await b.ask(2, time.monotonic() + 0.02)
            early = await b.ask(3, time.monotonic() + 60)
            await asyncio.sleep(0.05)
            b.release(2)
            with pytest.raises(DeadlinePassed):
                await late
            assert name_of(await early) == 3
            await running
            assert b.engine.batches == [[1], [3]]

    asyncio.run(scenario())


def test_a_caller_that_leaves_while_waiting_is_not_computed() -> None:
    async def scenario() -> None:
        async with bench() as b:
            running = await b.ask(1)
            await b.began()
            gone, stays = await b.ask(2), await b.ask(3)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert b.inference.queued == 1
            new = await b.ask(4)
            b.release(2)
            await asyncio.gather(running, stays, new)
            assert b.engine.batches == [[1], [3, 4]]

    asyncio.run(scenario())


def test_a_caller_that_leaves_during_its_batch_harms_nobody() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.ask(0)
            await b.began()
            gone, stays = await b.ask(1), await b.ask(2)
            b.release()
            await b.began()
            gone.cancel()
            b.release()
            assert name_of(await stays) == 2
            after = await b.ask(3)
            b.release()
            assert name_of(await after) == 3
            assert [facts.gone for facts in b.seen] == [0, 1, 0]

    asyncio.run(scenario())


def test_a_failing_batch_fails_alone() -> None:
    async def scenario() -> None:
        async with bench() as b:
            b.engine.fails = {2}
            first = await b.ask(1)
            await b.began()
            doomed = [await b.ask(name) for name in (2, 3, 4, 5)]
            after = await b.ask(6)
            b.release(3)
            assert name_of(await first) == 1
            for answer in await asyncio.gather(*doomed, return_exceptions=True):
                assert isinstance(answer, Internal)
                assert "memory" not in answer.message, "defects are for the log"
            assert name_of(await after) == 6

    asyncio.run(scenario())


def test_streams_take_turns() -> None:
    async def scenario() -> None:
        async with bench() as b:
            running = await b.ask(0)
            await b.began()
            greedy = [await b.ask(name, stream="greedy") for name in range(1, 7)]
            modest = [await b.ask(name, stream="modest") for name in (11, 12)]
            b.release(3)
            await asyncio.gather(running, *greedy, *modest)
            assert b.engine.batches == [[0], [1, 11, 2, 12], [3, 4, 5, 6]]

    asyncio.run(scenario())


def test_a_face_that_cannot_be_done_in_time_is_refused_on_arrival() -> None:
    async def scenario() -> None:
        async with bench() as b:
            slow = await b.ask(1)
            await asyncio.sleep(0.2)
            b.release()
            await slow
            assert b.inference.times.predict(1) > 0.15
            refused = await b.ask(2, time.monotonic() + 0.05)
            with pytest.raises(Overloaded) as caught:
                refused.result()
            assert caught.value.retry_seconds
            assert b.engine.batches == [[1]]

    asyncio.run(scenario())


def test_two_batches_are_in_flight_where_the_engine_takes_them() -> None:
    async def scenario() -> None:
        async with bench(in_flight=2) as b:
            first = await b.ask(0)
            await b.began()
            few = [await b.ask(name) for name in (1, 2, 3)]
            assert b.engine.batches == [[0]], "a small batch would only be in the way"
            few.append(await b.ask(4))
            await b.began()
            assert b.engine.batches == [[0], [1, 2, 3, 4]]
            more = [await b.ask(name) for name in (5, 6, 7, 8)]
            assert b.inference.queued == 4, "no third one"
            b.release(3)
            answers = await asyncio.gather(first, *few, *more)
            assert [name_of(answer) for answer in answers] == list(range(9))

    asyncio.run(scenario())


def test_an_urgent_face_does_not_wait_for_the_batch_to_fill() -> None:
    async def scenario() -> None:
        async with bench(in_flight=2) as b:
            learned = await b.ask(0)
            await asyncio.sleep(0.1)
            b.release()
            await learned
            running = await b.ask(1)
            await b.began()
            await b.began()
            urgent = await b.ask(2, time.monotonic() + 1.2)
            assert b.engine.batches == [[0], [1]]
            await b.began()
            assert b.engine.batches == [[0], [1], [2]]
            b.release(2)
            await asyncio.gather(running, urgent)
            assert {str(facts.reason) for facts in b.seen} == {"idle", "deadline"}

    asyncio.run(scenario())


def test_draining_holds_nothing_back() -> None:
    async def scenario() -> None:
        async with bench(in_flight=2) as b:
            running = await b.ask(1)
            await b.began()
            held = await b.ask(2)
            assert b.engine.batches == [[1]]
            b.inference.drain()
            await b.began()
            b.release(2)
            await asyncio.gather(running, held)
            assert {str(facts.reason) for facts in b.seen} == {"idle", "drain"}

    asyncio.run(scenario())


def test_closing_ends_the_engines_thread() -> None:
    before = set(threading.enumerate())

    async def scenario() -> None:
        async with bench() as b:
            asked = await b.ask(1)
            b.release()
            await asked
        left = set(threading.enumerate()) - before
        assert not any(thread.name.startswith("engine") for thread in left)

    asyncio.run(scenario())


def test_closing_before_starting_is_fine() -> None:
    asyncio.run(Bench().inference.close())
