"""The whole server stays under 1.5 GB while it works."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.photos import group, opened, saved
from tests.support.service import MIB, OPTIONS, Stub, ask, heavy, memory

LIMIT = 1500 * MIB

pytestmark = pytest.mark.slow


def _code(call: Any) -> grpc.StatusCode:
    """The status a call ends with, its answer read to the end."""
    with contextlib.suppress(grpc.RpcError):
        for _ in call:
            pass
    code: grpc.StatusCode = call.code()
    return code


def test_server_and_workers_stay_under_the_limit_under_load(sample_photo: bytes) -> None:
    resized = opened(sample_photo).convert("RGBA").resize((6200, 4190))
    large = saved(resized, "PNG", compress_level=1)
    webp = saved(resized, "WEBP", method=0, quality=50)
    many = group(sample_photo, (512,) * 4)
    requests = [
        *[pb.ReconstructRequest(image=sample_photo, appearance=pb.APPEARANCE_TEXTURE)] * 10,
        pb.ReconstructRequest(image=many, detail=pb.DETAIL_LEVEL_FINE),
        *[pb.ReconstructRequest(image=large)] * 2,
        *[pb.ReconstructRequest(image=webp)] * 2,
        heavy(sample_photo, 8),
    ]
    peak = 0
    done = threading.Event()
    with (
        EmbeddedServer() as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
        ThreadPoolExecutor(9) as threads,
    ):
        stub = Stub(channel)

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, memory(server))

        watcher = threads.submit(watch)
        try:
            # No deadline: on a busy machine the forecast might refuse.
            list(threads.map(lambda request: ask(stub, request, None).events, requests))
        finally:
            done.set()
        watcher.result()
        settled = memory(server)
    assert peak < LIMIT, f"{peak / MIB:.0f} MiB"
    # What a burst took is given back or used again, not piled up.
    assert settled <= peak


def test_memory_does_not_grow_with_every_photo(sample_photo: bytes) -> None:
    request = pb.ReconstructRequest(image=sample_photo, detail=pb.DETAIL_LEVEL_PREVIEW)
    with (
        EmbeddedServer(["--max-batch", "2", "--workers", "1"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
        ThreadPoolExecutor(4) as threads,
    ):
        stub = Stub(channel)

        def burst(photos: int) -> int:
            list(threads.map(lambda _: ask(stub, request).events, range(photos)))
            return memory(server)

        warm = burst(40)
        assert burst(80) - warm < 40 * MIB


@pytest.mark.parametrize("channels", [1, 40])
def test_large_uploads_are_turned_away_before_they_pile_up(
    sample_photo: bytes, channels: int
) -> None:
    """Calls with 19 MiB each, of one client or of many, are more than the server may hold."""
    uploads = 40
    request = pb.ReconstructRequest(image=sample_photo + bytes(19 * MIB))
    peak = 0
    with EmbeddedServer(["--max-batch", "1", "--workers", "2"]) as server, ExitStack() as stack:
        stubs = [
            Stub(stack.enter_context(grpc.insecure_channel(server.address, options=OPTIONS)))
            for _ in range(channels)
        ]
        calls = [stubs[n % channels].Reconstruct(request, timeout=60) for n in range(uploads)]
        with ThreadPoolExecutor(uploads) as threads:
            waiting = [threads.submit(_code, call) for call in calls]
            while not all(answer.done() for answer in waiting):
                peak = max(peak, memory(server))
            codes = [answer.result() for answer in waiting]
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert grpc.StatusCode.OK in codes
    assert peak < LIMIT, f"{peak / MIB:.0f} MiB"
