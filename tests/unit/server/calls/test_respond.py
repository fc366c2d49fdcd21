"""A call sends its metadata, messages and status in order, even if writers are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, cast

import grpc
import pytest

from protome.errors import InvalidRequest
from protome.server.calls.respond import Context, respond


class Peer:
    """A fake of gRPC that sends the initial metadata when told; ``said`` records what was sent."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.asked = asyncio.Event()
        self.sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_trailing_metadata(self, _: Any) -> None:
        pass

    async def send_initial_metadata(self, _: Any) -> None:
        self.asked.set()
        await self.sent
        self.said.append("metadata")

    async def write(self, message: str) -> None:
        self.said.append(message)

    async def abort(self, code: grpc.StatusCode, details: str, _: Any) -> NoReturn:
        del details
        self.said.append(code.name)
        raise grpc.aio.AbortError


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_metadata_is_sent_once_and_before_messages() -> None:
    async def run() -> None:
        peer = Peer()
        peer.sent.set_result(None)
        async with respond(cast(Context, peer)) as (_, write):
            await write("one")
            await write("two")
        assert peer.said == ["metadata", "one", "two"]

    asyncio.run(run())


def test_status_waits_for_metadata_of_a_cancelled_writer() -> None:
    """Otherwise gRPC refuses the second attempt, and the client never gets a status."""

    async def run() -> None:
        peer = Peer()

        async def serve() -> None:
            async with respond(cast(Context, peer)) as (_, write):
                writer = asyncio.ensure_future(write("never"))
                await peer.asked.wait()
                writer.cancel()
                await settle()
                raise InvalidRequest("no")

        serving = asyncio.ensure_future(serve())
        await peer.asked.wait()
        await settle()
        assert peer.said == []
        peer.sent.set_result(None)
        with pytest.raises(grpc.aio.AbortError):
            await serving
        assert peer.said == ["metadata", "INVALID_ARGUMENT"]

    asyncio.run(run())


def test_failure_to_send_metadata_raises_in_the_writer() -> None:
    async def run() -> None:
        peer = Peer()
        peer.sent.set_exception(RuntimeError("gone"))
        async with respond(cast(Context, peer)) as (_, write):
            for _ in range(2):
                with pytest.raises(RuntimeError, match="gone"):
                    await write("never")
        assert peer.said == []

    asyncio.run(run())


def test_message_is_sent_after_the_writer_of_the_previous_one_was_cancelled() -> None:
    """With a real client, which reads nothing until that writer is cancelled."""
    big, small = bytes(8 << 20), b"next"

    async def run() -> list[int]:
        async def serve(request: bytes, context: Context) -> None:
            del request
            async with respond(context) as (_, write):
                writer = asyncio.ensure_future(write(big))
                await asyncio.sleep(0.2)
                assert not writer.done()
                writer.cancel()
                await asyncio.wait({writer})
                gone.set()
                await write(small)

        gone = asyncio.Event()
        server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(serve)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Service", {"Serve": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        options = [("grpc.max_receive_message_length", -1)]
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                method = channel.unary_stream("/test.Service/Serve", bytes, bytes)
                call = method(b"", timeout=30)
                await gone.wait()
                return [len(message) async for message in call]
        finally:
            await server.stop(None)

    assert asyncio.run(run()) == [len(big), len(small)]
