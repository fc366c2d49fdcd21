"""Few clients send at a time; slow ones give way."""

from __future__ import annotations

import asyncio

import pytest

from protome.errors import ClientGone, Overloaded
from protome.server.calls.uploads import MAX_WAITING_UPLOADS, Uploads


class Sender:
    """A client whose message arrives when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.message: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive(self) -> str:
        self.asked.set()
        return await self.message


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_uploads_wait_for_a_place_in_order_of_arrival() -> None:
    async def run() -> None:
        uploads = Uploads(parallel=2, slow_uploads=1, slow_after=60)
        senders = [Sender() for _ in range(4)]
        reads = [asyncio.create_task(uploads.read(sender.receive)) for sender in senders]
        await settle()
        assert [sender.asked.is_set() for sender in senders] == [True, True, False, False]
        senders[1].message.set_result("second")
        await settle()
        assert await reads[1] == "second"
        assert [sender.asked.is_set() for sender in senders] == [True, True, True, False]
        # One that gives up or fails frees its place too.
        reads[0].cancel()
        senders[2].message.set_exception(OSError("gone"))
        await settle()
        assert senders[0].message.cancelled()
        assert senders[3].asked.is_set()
        with pytest.raises(OSError, match="gone"):
            await reads[2]
        senders[3].message.set_result("last")
        assert await reads[3] == "last"

    asyncio.run(run())


def test_slow_uploads_give_way_and_the_oldest_is_cancelled() -> None:
    async def run() -> None:
        uploads = Uploads(parallel=1, slow_uploads=2, slow_after=0.01)
        slow = [Sender() for _ in range(3)]
        reads = [asyncio.create_task(uploads.read(sender.receive)) for sender in slow]
        with pytest.raises(Overloaded) as caught:
            await asyncio.wait_for(reads[0], 5)
        assert caught.value.retry_seconds
        quick = Sender()
        quick.message.set_result("quick")
        assert await asyncio.wait_for(uploads.read(quick.receive), 5) == "quick"
        slow[1].message.set_result("at last")
        assert await reads[1] == "at last"
        reads[2].cancel()
        await settle()
        assert slow[2].message.cancelled()

    asyncio.run(run())


def test_several_uploads_that_become_slow_at_once_cancel_as_many() -> None:
    async def run() -> None:
        uploads = Uploads(parallel=6, slow_uploads=2, slow_after=0.01)
        reads = [asyncio.create_task(uploads.read(Sender().receive)) for _ in range(6)]
        done, waiting = await asyncio.wait(reads, timeout=0.5)
        assert (len(done), len(waiting)) == (4, 2)
        assert all(isinstance(read.exception(), Overloaded) for read in done)
        for read in waiting:
            read.cancel()

    asyncio.run(run())


def test_upload_that_does_not_arrive_frees_its_place() -> None:
    async def run() -> None:
        uploads = Uploads(parallel=1, slow_uploads=1, slow_after=0.01, receive_seconds=0.05)
        for _ in range(3):
            sender = Sender()
            with pytest.raises(ClientGone):
                await uploads.read(sender.receive)
            assert sender.message.cancelled()
        fast = Sender()
        fast.message.set_result("fast")
        assert await uploads.read(fast.receive) == "fast"

    asyncio.run(run())


def test_time_before_an_upload_is_slow_shrinks_with_the_queue() -> None:
    """With the full time for each, the last upload would wait for 40 seconds."""

    async def run() -> None:
        uploads = Uploads(parallel=1, slow_uploads=400, slow_after=0.2)
        silent = [asyncio.create_task(uploads.read(Sender().receive)) for _ in range(200)]
        await settle()
        last = Sender()
        last.message.set_result("last")
        async with asyncio.timeout(20):
            assert await uploads.read(last.receive) == "last"
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)

    asyncio.run(run())


def test_number_of_waiting_uploads_is_limited() -> None:
    async def run() -> None:
        uploads = Uploads(parallel=1, slow_uploads=1, slow_after=60)
        waiting = [
            asyncio.create_task(uploads.read(Sender().receive))
            for _ in range(1 + MAX_WAITING_UPLOADS)
        ]
        await settle()
        with pytest.raises(Overloaded):
            await uploads.read(Sender().receive)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        fast = Sender()
        fast.message.set_result("fast")
        assert await uploads.read(fast.receive) == "fast"

    asyncio.run(run())
