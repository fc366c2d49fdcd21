"""HTTP is as fast as gRPC: both in turns on one server, with equal clients."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.http import RECONSTRUCT
from tests.support.service import Stub, ask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIENTS = 8
PHOTOS = 24
ROUNDS = 10
LEAST_RATIO = 0.9


def photos_a_second(send: Callable[[int], object]) -> float:
    """Rate at which the clients are served, each waiting for its answer before the next photo."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        began = time.perf_counter()
        for _ in threads.map(send, range(PHOTOS)):
            pass
        return PHOTOS / (time.perf_counter() - began)


def test_throughput_of_http(server: EmbeddedServer, stub: Stub, sample_photo: bytes) -> None:
    request = pb.ReconstructRequest(image=sample_photo, appearance=pb.APPEARANCE_TEXTURE)
    connections = [http.client.HTTPConnection(server.web, timeout=90) for _ in range(CLIENTS)]
    free = list(connections)

    def by_grpc(_: int) -> None:
        assert ask(stub, request).mesh()

    def by_http(_: int) -> None:
        connection = free.pop()
        connection.request("POST", RECONSTRUCT, sample_photo)
        response = connection.getresponse()
        assert response.status == 200
        assert len(response.read()) > 1_000_000
        free.append(connection)

    by_grpc(0)
    by_http(0)
    ratios = []
    for turn in range(ROUNDS):
        # In turns first, as the load of the machine changes.
        order = (by_http, by_grpc) if turn % 2 else (by_grpc, by_http)
        rates = {send: photos_a_second(send) for send in order}
        print(f"gRPC {rates[by_grpc]:.1f}/s, HTTP {rates[by_http]:.1f}/s")
        ratios.append(rates[by_http] / rates[by_grpc])
    for connection in connections:
        connection.close()
    assert statistics.median(ratios) >= LEAST_RATIO, ratios
