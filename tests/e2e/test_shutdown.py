"""How a server ends: politely on SIGTERM, without orphans in every case."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.e2e.processes import gone
from tests.support.service import (
    ONE_WORKER,
    OPTIONS,
    SERVICE,
    SMALL,
    TIMEOUT,
    Stub,
    ask,
    eventually,
    failure,
    heavy,
    http_get,
    in_flight,
    large,
    metric,
    serve_command,
    workers,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# For calls in flight to finish on a busy machine too.
PATIENT = [*ONE_WORKER, "--drain-seconds", "100"]


def _health(channel: grpc.Channel, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
    return status


def test_sigterm_says_not_serving_first_then_finishes_what_is_in_flight(
    sample_photo: bytes,
) -> None:
    with (
        EmbeddedServer([*PATIENT, "--workers", "2", "--drain-delay", "4"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
        ThreadPoolExecutor(2) as threads,
    ):
        stub = Stub(channel)
        photo = pb.ReconstructRequest(image=sample_photo)
        alone = ask(stub, photo).mesh()
        children = workers(server)
        long = threads.submit(ask, stub, heavy(sample_photo, 8))
        eventually(lambda: in_flight(server) == 1, "a long request is in flight")
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: _health(channel, SERVICE) == NOT_SERVING, "NOT_SERVING", 3)
        eventually(lambda: _health(channel, "") == NOT_SERVING, "NOT_SERVING", 3)
        assert http_get(server, "/readyz")[0] == 503
        assert http_get(server, "/healthz")[0] == 200
        assert metric(server, "protome_ready") == 0
        # Within the delay, load balancers still send: no call is refused.
        assert ask(stub, photo).mesh() == alone
        answer = long.result()
        assert answer.outcomes() == ["RECONSTRUCTED"] * 8
        assert answer.events[-1] == "summary"
        assert server.process.wait(20) == 0
        assert gone(children)


def test_new_photos_are_turned_away_while_the_old_ones_finish(sample_photo: bytes) -> None:
    with (
        EmbeddedServer(PATIENT) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        stub = Stub(channel)
        never_read = stub.Reconstruct(large(sample_photo, 4), timeout=TIMEOUT)
        eventually(lambda: in_flight(server) == 1, "a photo is in flight")
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in server.log.read_text(), "it drains")

        def turned_away() -> bool:
            request = pb.ReconstructRequest(image=sample_photo)
            try:
                ask(stub, request, timeout=10)
            except grpc.RpcError as error:
                return failure(error).code is grpc.StatusCode.UNAVAILABLE
            return False

        eventually(turned_away, "new photos are turned away")
        assert server.process.poll() is None
        assert sum(event.HasField("summary") for event in never_read) == 1
        assert server.process.wait(20) == 0


def test_photo_still_on_its_way_at_the_drain_is_answered(sample_photo: bytes) -> None:
    """It came in before clients were told to go elsewhere: refusing it would lose it."""
    go_on = threading.Event()

    def late() -> Iterator[pb.ReconstructRequest]:
        go_on.wait(60)
        yield pb.ReconstructRequest(image=sample_photo)

    with (
        EmbeddedServer(PATIENT) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        method = channel.stream_stream(
            f"/{SERVICE}/Reconstruct",
            pb.ReconstructRequest.SerializeToString,
            pb.ReconstructResponse.FromString,
        )
        call = method(late(), timeout=TIMEOUT)
        time.sleep(0.5)  # Its headers arrive.
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in server.log.read_text(), "it drains")
        time.sleep(1)
        go_on.set()
        assert sum(event.HasField("summary") for event in call) == 1
        assert server.process.wait(20) == 0


def test_drain_ends_after_drain_seconds_at_the_latest(sample_photo: bytes) -> None:
    with (
        EmbeddedServer([*SMALL, "--drain-seconds", "1"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        children = workers(server)
        call = Stub(channel).Reconstruct(large(sample_photo, 8), timeout=TIMEOUT)
        eventually(lambda: in_flight(server) == 1, "a photo that nobody reads is in flight")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        # The call itself would last for two minutes.
        assert 1 <= time.monotonic() - began < 20
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert gone(children)


def test_open_health_watch_does_not_hold_up_the_end() -> None:
    """Clients with client-side health checking keep a Watch open as long as they are connected."""
    with (
        EmbeddedServer(PATIENT) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=TIMEOUT)
        assert next(watch).status == SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        assert server.process.wait(20) == 0


def test_idle_stream_of_photos_does_not_hold_up_the_end(sample_photo: bytes) -> None:
    """A client that keeps its ReconstructMany open between photos has nothing in flight."""
    over = threading.Event()

    def photos() -> Iterator[pb.ReconstructManyRequest]:
        request = pb.ReconstructRequest(image=sample_photo)
        yield pb.ReconstructManyRequest(request_id="only", request=request)
        over.wait(60)

    with (
        EmbeddedServer(PATIENT) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        call = Stub(channel).ReconstructMany(photos(), timeout=TIMEOUT)
        for event in call:
            if event.HasField("summary"):
                break
        server.process.send_signal(signal.SIGTERM)
        try:
            assert server.process.wait(20) == 0
        finally:
            over.set()


def test_stream_in_work_is_answered_before_the_end(sample_photo: bytes) -> None:
    with (
        EmbeddedServer([*PATIENT, "--max-stream-photos", "3"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        photos = [
            pb.ReconstructManyRequest(request_id=str(number), request=large(sample_photo, 3))
            for number in range(3)
        ]
        call = Stub(channel).ReconstructMany(iter(photos), timeout=TIMEOUT)
        eventually(lambda: in_flight(server) == 3, "three photos are in flight")
        server.process.send_signal(signal.SIGTERM)
        assert sum(event.HasField("summary") for event in call) == 3
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGHUP])
def test_sigint_and_sighup_end_it_like_sigterm(signal_: signal.Signals) -> None:
    # Under nohup the tests ignore SIGHUP, and so would the server.
    before = signal.signal(signal_, signal.SIG_DFL)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(EmbeddedServer(SMALL))
        finally:
            signal.signal(signal_, before)
        children = workers(server)
        server.process.send_signal(signal_)
        assert server.process.wait(15) == 0
        assert gone(children)


def test_nohup_holds(tmp_path: Path) -> None:
    command = ["nohup", *serve_command(tmp_path / "ports", "--workers", "1", "--drain-delay", "0")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            eventually((tmp_path / "ports").exists, "it serves")
            process.send_signal(signal.SIGHUP)
            time.sleep(1)
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(20) == 0
