"""Many clients at once: right answers, shared batches, and a clear no when it is too much."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from protome.client import AsyncClient, Client
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.meshes import alike
from tests.support.photos import group, opened, saved
from tests.support.service import (
    ONE_WORKER,
    OPTIONS,
    Answer,
    Failure,
    Stub,
    ask,
    cancel,
    eventually,
    failure,
    heavy,
    in_flight,
    metric,
)

PREVIEW = pb.DETAIL_LEVEL_PREVIEW


@pytest.fixture(scope="module")
def photos(sample_photo: bytes) -> list[bytes]:
    """Four different photos."""
    picture = opened(sample_photo)
    crops = [picture.crop((20 * i, 0, 400 + 25 * i, 400 + 10 * i)) for i in range(3)]
    return [sample_photo, *[saved(crop, "JPEG", quality=92) for crop in crops]]


@pytest.fixture(scope="module")
def expected(server: EmbeddedServer, photos: list[bytes]) -> list[bytes]:
    """Each photo's mesh when it is alone."""
    with Client(server.address) as client:
        return [client.reconstruct(photo).faces[0].mesh for photo in photos]


def test_meshes_differ_between_photos(expected: list[bytes]) -> None:
    for one, other in itertools.combinations(expected, 2):
        assert not alike(one, other)


def test_parallel_blocking_clients_get_their_own_faces(
    server: EmbeddedServer, photos: list[bytes], expected: list[bytes]
) -> None:
    with Client(server.address) as client, ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(client.reconstruct, photos * 6))
        crowd = client.reconstruct(group(photos[0], (256, 256, 256, 256)))
    for number, answer in enumerate(answers):
        (face,) = answer.faces
        assert alike(face.mesh, expected[number % len(photos)])
    # Whether faces of different calls meet depends on the machine; those of one photo do.
    assert max(face.batch_size for face in crowd.summary.faces) > 1
    assert in_flight(server) == 0


def test_parallel_asyncio_calls_get_their_own_faces(
    server: EmbeddedServer, photos: list[bytes], expected: list[bytes]
) -> None:
    async def all_at_once() -> list[bytes]:
        async with AsyncClient(server.address) as client:
            answers = await asyncio.gather(*(client.reconstruct(photo) for photo in photos * 6))
        return [answer.faces[0].mesh for answer in answers]

    for got, wanted in zip(asyncio.run(all_at_once()), expected * 6, strict=True):
        assert alike(got, wanted)


def test_batches_are_counted_by_their_size(server: EmbeddedServer, sample_photo: bytes) -> None:
    def batches_up_to(size: str) -> float:
        return metric(server, "protome_batch_size_faces_bucket", le=size)

    before = batches_up_to("+Inf") - batches_up_to("1.0")
    with Client(server.address) as client:
        client.reconstruct(group(sample_photo, (256, 256, 256, 256)), detail="preview")
    assert batches_up_to("+Inf") - batches_up_to("1.0") > before


def test_faces_of_a_photo_travel_together(stub: Stub, sample_photo: bytes) -> None:
    answer = ask(stub, heavy(sample_photo, 5))
    assert max(face.batch_size for face in answer.summary.faces) > 1


def _outcomes(stub: Stub, requests: list[pb.ReconstructRequest]) -> list[Answer | Failure]:
    def one(request: pb.ReconstructRequest) -> Answer | Failure:
        try:
            return ask(stub, request)
        except grpc.RpcError as error:
            return failure(error)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(one, requests))


@pytest.fixture
def narrow() -> Iterator[EmbeddedServer]:
    with EmbeddedServer([*ONE_WORKER, "--max-requests", "2"]) as running:
        yield running


def test_photos_over_the_limit_are_told_to_retry(
    narrow: EmbeddedServer, sample_photo: bytes
) -> None:
    with grpc.insecure_channel(narrow.address, options=OPTIONS) as channel:
        stub = Stub(channel)
        alone = ask(stub, pb.ReconstructRequest(image=sample_photo)).mesh()
        # Two that stay keep both places.
        holders = [stub.Reconstruct(heavy(sample_photo), timeout=60) for _ in range(2)]
        eventually(lambda: in_flight(narrow) == 2, "both places are taken")
        results = _outcomes(stub, [pb.ReconstructRequest(image=sample_photo)] * 10)
        for result in results:
            assert isinstance(result, Failure)
            assert (result.code, result.reason, result.domain) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
                "protome",
            )
            assert result.metadata["max_requests"] == "2"
            assert result.retry_seconds is not None
            assert 0 < result.retry_seconds <= 60
        for holder in holders:
            cancel(holder)
        eventually(lambda: in_flight(narrow) == 0, "the places are free again")
        assert ask(stub, pb.ReconstructRequest(image=sample_photo)).mesh() == alone
    rejected = metric(narrow, "protome_requests_total", code="RESOURCE_EXHAUSTED")
    assert rejected == 10
