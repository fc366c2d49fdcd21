"""Photos of which a half is sent, and then nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.http2 import Client
from tests.support.service import MIB, OPTIONS, SMALL, Stub, ask, eventually, failure, memory

from .load import Load, Rest, heals

SLOW = 3
STREAMS = 2
# Within receive_seconds (1), after two seconds for each four that wait before.
SOON = 20.0


@pytest.fixture(scope="module")
def strict(photo: bytes) -> Iterator[EmbeddedServer]:
    """Little patience."""
    flags = ["--receive-seconds", "1", "--slow-uploads", str(SLOW), "--max-streams", str(STREAMS)]
    with EmbeddedServer([*SMALL, *flags]) as server:
        with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
            for _ in range(5):
                ask(Stub(channel), pb.ReconstructRequest(image=photo))
        yield server


def _streamed(server: EmbeddedServer, photo: bytes) -> str:
    """What becomes of a photo in a stream: OK, or the reason."""
    request = pb.ReconstructManyRequest(
        request_id="1", request=pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
    )
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        try:
            events = list(Stub(channel).ReconstructMany(iter([request]), timeout=60))
        except grpc.RpcError as error:
            return failure(error).reason
        return "OK" if events[-1].HasField("summary") else events[-1].error.reason


def test_an_upload_that_stops_halfway_is_cancelled(strict: EmbeddedServer, photo: bytes) -> None:
    before = Rest.of(strict)
    with Client(strict) as client:
        streams = {client.half("Reconstruct") for _ in range(SLOW)}
        assert client.ended(SLOW, SOON) == streams
        with grpc.insecure_channel(strict.address, options=OPTIONS) as channel:
            ask(Stub(channel), pb.ReconstructRequest(image=photo))
    heals(strict, photo, before)


def test_many_stopped_uploads_delay_others_only_briefly(
    strict: EmbeddedServer, photo: bytes
) -> None:
    """Each of 200 may not take its two seconds of one of the four places: that were 100."""
    before = Rest.of(strict)
    turned_away: set[str] = set()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(strict)) for _ in range(10)]
        for client in clients:
            for _ in range(20):
                client.half("Reconstruct")
        with grpc.insecure_channel(strict.address, options=OPTIONS) as channel:
            # It may have to wait longer than its limit; then it gets an error that says so.
            def answered() -> bool:
                try:
                    ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=60)
                except grpc.RpcError as error:
                    turned_away.add(failure(error).reason)
                    return False
                return True

            eventually(answered, "a photo is answered", 40)
        for client in clients:
            assert len(client.ended(20, 40)) == 20
    assert turned_away <= {"OVERLOADED"}
    heals(strict, photo, before)


def test_streams_that_stop_in_a_photo_give_their_places_back(
    strict: EmbeddedServer, photo: bytes
) -> None:
    before = Rest.of(strict)
    with Client(strict) as client:

        def all_taken() -> bool:
            """On a busy machine the streams may be ended before another one is tried."""
            streams = {client.half("ReconstructMany", 3_000, 15_000_000) for _ in range(STREAMS)}
            reason = _streamed(strict, photo)
            assert client.ended(STREAMS, SOON) == streams
            return reason == "OVERLOADED"

        eventually(all_taken, "all places are taken")
        eventually(lambda: _streamed(strict, photo) == "OK", "there are places again")
        # What was sent of the photos is gone with the calls.
        assert memory(strict) < before.memory + (64 << 20)
    heals(strict, photo, before)


def test_many_streams_that_stop_in_a_photo_hold_little(photo: bytes) -> None:
    """Only ``max_streams`` of 16 are open at a time; those at work do not notice."""
    flags = ["--max-streams", "4", "--max-image-bytes", str(12 * MIB)]
    with EmbeddedServer([*SMALL, *flags]) as server, contextlib.ExitStack() as stack:
        with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
            for _ in range(5):
                ask(Stub(channel), pb.ReconstructRequest(image=photo))
        before = Rest.of(server)
        clients = [stack.enter_context(Client(server)) for _ in range(16)]
        with Load(server, photo) as load, ThreadPoolExecutor(16) as threads:

            def stalls(client: Client) -> bool:
                stream = client.half("ReconstructMany", size=12 * MIB)
                client.pour(stream, 10 * MIB, 5)
                return bool(client.ended(1, 8))

            ends = [threads.submit(stalls, client) for client in clients]
            eventually(lambda: sum(end.done() for end in ends) >= 11, "most are ended", 20)
            load.progress(3)
            # Until there is room.
            eventually(lambda: memory(server) < before.memory + 128 * MIB, "it is given back")
            stack.close()
        assert load.failed == {}
        heals(server, photo, before)


def test_a_stream_in_work_is_not_idle(strict: EmbeddedServer, photo: bytes) -> None:
    """Photos one after the other, each as soon as the one before is answered."""
    with Load(strict, photo) as load:
        load.progress(12)
    assert load.failed == {}


def test_an_idle_stream_is_ended_and_told_so(strict: EmbeddedServer, photo: bytes) -> None:
    done: list[pb.ReconstructManyResponse] = []

    def photos() -> Iterator[pb.ReconstructManyRequest]:
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        yield pb.ReconstructManyRequest(request_id="only", request=request)
        eventually(call.done, "the stream is ended", SOON)

    with grpc.insecure_channel(strict.address, options=OPTIONS) as channel:
        call: Any = Stub(channel).ReconstructMany(photos(), timeout=60)
        with pytest.raises(grpc.RpcError) as caught:
            done.extend(call)
    problem = failure(caught.value)
    assert (problem.code, problem.reason) == (grpc.StatusCode.CANCELLED, "CLIENT_GONE")
