"""Clients retry a response that breaks off."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protome import errors
from protome.client import AsyncClient, Client, ReconstructionError, make_request
from protome.server.calls import status
from protome.v1 import reconstruction_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name


class Breaking:
    """A service that aborts its first ``times`` responses, with trailers."""

    def __init__(
        self,
        times: int,
        trailers: tuple[tuple[str, str | bytes], ...] = (),
        *,
        before_header: bool = False,
    ) -> None:
        self.times, self.trailers, self.before_header = times, trailers, before_header
        self.timeouts: list[float] = []

    def reconstruct(
        self, request: pb.ReconstructRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReconstructResponse]:
        """Header, and the end if it gets there."""
        del request
        self.timeouts.append(context.time_remaining())
        context.send_initial_metadata((("x-request-id", "id"),))
        if not self.before_header:
            yield pb.ReconstructResponse(header=pb.Header())
        if len(self.timeouts) <= self.times:
            time.sleep(1.5)
            context.set_trailing_metadata(self.trailers)
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if self.before_header:
            yield pb.ReconstructResponse(header=pb.Header())
        yield pb.ReconstructResponse(summary=pb.Summary())


@contextlib.contextmanager
def serving(name: str, method: grpc.RpcMethodHandler[Any, Any]) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = grpc.method_handlers_generic_handler(SERVICE, {name: method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def breaking(servicer: Breaking) -> contextlib.AbstractContextManager[str]:
    method = grpc.unary_stream_rpc_method_handler(
        servicer.reconstruct,
        pb.ReconstructRequest.FromString,
        pb.ReconstructResponse.SerializeToString,
    )
    return serving("Reconstruct", method)


def ask(address: str, blocking: bool) -> None:
    """Reconstruct a photo with either client; gRPC rounds longer timeouts to seconds."""
    if blocking:
        with Client(address, timeout=8) as client:
            client.reconstruct(b"photo")
        return

    async def run() -> None:
        async with AsyncClient(address, timeout=8) as client:
            await client.reconstruct(b"photo")

    asyncio.run(run())


@pytest.mark.parametrize("before_header", [True, False])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_response_that_breaks_off_is_retried(blocking: bool, before_header: bool) -> None:
    servicer = Breaking(1, before_header=before_header)
    with breaking(servicer) as address:
        ask(address, blocking)
    first, second = servicer.timeouts
    assert second < first - 0.4, "within the same time"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_response_is_retried_only_once(blocking: bool) -> None:
    servicer = Breaking(9)
    with breaking(servicer) as address, pytest.raises(ReconstructionError, match="gone"):
        ask(address, blocking)
    assert len(servicer.timeouts) == 2


@pytest.mark.parametrize("blocking", [True, False])
def test_a_failure_with_a_reason_is_not_retried(blocking: bool) -> None:
    """A photo that kills workers must not be sent again."""
    servicer = Breaking(9, status.trailers(errors.WorkerDied("a worker died")))
    with breaking(servicer) as address, pytest.raises(ReconstructionError) as caught:
        ask(address, blocking)
    assert caught.value.reason == "WORKER_DIED"
    assert len(servicer.timeouts) == 1


def test_a_stream_that_ends_while_a_photo_is_sent_is_not_an_internal_error() -> None:
    """grpc.aio reports INTERNAL for every status."""

    def refuse(
        requests: Iterator[pb.ReconstructManyRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ReconstructManyResponse]:
        next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        yield pb.ReconstructManyResponse()

    async def photos() -> AsyncIterator[tuple[str, pb.ReconstructRequest]]:
        for number in itertools.count():
            yield str(number), make_request(bytes(1000))

    async def run(address: str) -> None:
        async with AsyncClient(address) as client:
            async for _ in client.reconstruct_many(photos(), timeout=8):
                pass

    method = grpc.stream_stream_rpc_method_handler(
        refuse,
        pb.ReconstructManyRequest.FromString,
        pb.ReconstructManyResponse.SerializeToString,
    )
    with (
        serving("ReconstructMany", method) as address,
        pytest.raises(ReconstructionError) as caught,
    ):
        asyncio.run(run(address))
    assert caught.value.code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


def test_photos_are_interactive_by_default() -> None:
    assert make_request(b"").priority == pb.PRIORITY_INTERACTIVE
    assert make_request(b"", priority="background").priority == pb.PRIORITY_BACKGROUND
