"""More connections and calls than a server takes."""

from __future__ import annotations

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.http2 import Client
from tests.support.service import (
    SMALL,
    Stub,
    ask,
    eventually,
    failure,
    in_flight,
    metric,
    whole,
    workers,
)

from .load import Rest, connect, heals


def test_more_connections_than_may_be_leave_room_for_what_the_server_needs(photo: bytes) -> None:
    """Those over the limit are closed at once; a worker can be replaced, probes are answered."""
    most = 20
    with (
        EmbeddedServer([*SMALL, "--max-connections", str(most)]) as server,
        connect(server) as channel,
        contextlib.ExitStack() as stack,
    ):
        ask(Stub(channel), pb.ReconstructRequest(image=photo))
        before = Rest.of(server)
        connections = [stack.enter_context(Client(server)) for _ in range(10 * most)]
        eventually(lambda: sum(c.closed() for c in connections) > 9 * most, "most are closed")
        assert Rest.of(server).descriptors <= before.descriptors + most
        workers(server)[0].kill()
        eventually(lambda: metric(server, "protome_worker_restarts_total") == 1, "it is noticed")
        whole(server, 2)
        # Who was there before is served.
        assert ask(Stub(channel), pb.ReconstructRequest(image=photo)).events[-1] == "summary"
        stack.close()

        def served() -> bool:
            with connect(server) as new:
                try:
                    ask(Stub(new), pb.ReconstructRequest(image=photo))
                except grpc.RpcError:
                    return False
                return True

        eventually(served, "others are let in")
        eventually(lambda: Rest.of(server).descriptors <= before.descriptors, "as before")


def test_more_calls_of_a_connection_than_may_be(photo: bytes) -> None:
    """gRPC clients wait; who does not, and who comes too soon after another, is refused before
    anything of it is looked at."""
    with (
        EmbeddedServer([*SMALL, "--max-connection-calls", "2"]) as server,
        connect(server) as channel,
        ThreadPoolExecutor(12) as threads,
    ):
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        # Once its connection stands, a client knows the number.
        ask(Stub(channel), request)

        def outcome(_: int) -> str:
            try:
                return ask(Stub(channel), request, None).events[-1]
            except grpc.RpcError as error:
                return str(failure(error).code.name)

        most = 0.0
        answers = [threads.submit(outcome, number) for number in range(24)]
        while not all(answer.done() for answer in answers):
            most = max(most, in_flight(server))
        outcomes = Counter(answer.result() for answer in answers)
        assert set(outcomes) <= {"summary", "UNAVAILABLE"}
        assert outcomes["summary"] >= 12
        assert most <= 2
        with Client(server) as client:
            streams = [client.half("Reconstruct") for _ in range(6)]
            assert client.ended(4, 10) == set(streams[2:])
        assert ask(Stub(channel), request).events[-1] == "summary"


def test_more_open_calls_than_may_be_are_refused_and_forgotten(photo: bytes) -> None:
    """Watches of health need no token and no photo, and never end."""
    most = 30
    with EmbeddedServer([*SMALL, "--max-calls", str(most)]) as server, connect(server) as channel:
        request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        ask(Stub(channel), request)
        before = Rest.of(server)
        with connect(server) as hostile:
            health = health_pb2_grpc.HealthStub(hostile)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(4 * most)]
            eventually(lambda: sum(watch.done() for watch in watches) >= 3 * most, "refused")
            refused = [watch for watch in watches if watch.done()]
            assert {watch.code() for watch in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            with pytest.raises(grpc.RpcError) as caught:
                ask(Stub(channel), request)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            # Probes have a listener of their own.
            assert metric(server, "protome_ready") == 1
        heals(server, photo, before)
