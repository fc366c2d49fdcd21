"""Measurements of load_tests against real servers, for seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from load_tests import fairness, first_byte
from load_tests.peers.stages import OPTIONS, Stages
from protome.client import Client
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from tests.support.service import ONE_WORKER


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(["--log-level", "error"]) as running:
        # The first photo takes longest, on a busy machine as long as a measurement.
        with Client(running.address) as client:
            client.reconstruct(SAMPLE.read_bytes(), **OPTIONS)
        yield running


def test_the_first_byte_comes_before_the_last(server: EmbeddedServer) -> None:
    tally = first_byte.measure(server.address, 1, first_byte.PREVIEW, 4.0)
    with Client(server.address) as client:
        photo = SAMPLE.read_bytes()
        mesh = client.reconstruct(photo, **OPTIONS).faces[0].mesh
    assert tally.good == len(tally.latencies) == len(tally.first_bytes)
    assert tally.good > 0
    assert tally.calls > 0
    assert not tally.codes
    pairs = zip(tally.first_bytes, tally.latencies, strict=True)
    assert all(0 < first < whole for first, whole in pairs)
    # What stands behind the peers makes the same bytes.
    stages = Stages()
    (face,) = stages.infer([stages.prepare(photo)])
    assert stages.build(face) == mesh


def test_one_client_is_served_beside_a_stream_that_is_always_full(server: EmbeddedServer) -> None:
    stream = fairness.Stream(server.address, fairness.MOST)
    latencies, rate = asyncio.run(fairness.beside(server.address, [stream], 4.0))
    # First come, first served, the stream would have eight photos done for each of the client's.
    assert latencies
    assert 0 < rate * 4.0 < fairness.MOST * (len(latencies) + 1)


def test_a_stream_that_fails_ends_the_measurement() -> None:
    flags = [*ONE_WORKER, "--log-level", "error", "--max-image-bytes", "1024"]
    with EmbeddedServer(flags) as server:
        stream = fairness.Stream(server.address, fairness.MOST)
        with pytest.raises(ExceptionGroup):
            asyncio.run(fairness.beside(server.address, [stream], 1.0))
