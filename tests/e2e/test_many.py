"""ReconstructMany: many photos over one stream, each with its own fate."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator

import grpc
import pytest

from protome.client import AsyncClient, NoFaceFound, Reconstruction, ReconstructionError
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.meshes import alike
from tests.support.photos import scenery
from tests.support.service import (
    MIB,
    ONE_WORKER,
    TIMEOUT,
    Answer,
    Stub,
    ask,
    cancel,
    eventually,
    failure,
    heavy,
    in_flight,
    large,
    metric,
)

PREVIEW = pb.DETAIL_LEVEL_PREVIEW
Pairs = list[tuple[str, pb.ReconstructRequest]]


def _messages(
    pairs: Iterable[tuple[str, pb.ReconstructRequest]],
) -> Iterator[pb.ReconstructManyRequest]:
    for request_id, request in pairs:
        yield pb.ReconstructManyRequest(request_id=request_id, request=request)


def _run(stub: Stub, pairs: Pairs) -> list[pb.ReconstructManyResponse]:
    return list(stub.ReconstructMany(_messages(pairs), timeout=TIMEOUT))


def _sorted(events: list[pb.ReconstructManyResponse]) -> dict[str, Answer]:
    answers: dict[str, Answer] = defaultdict(Answer)
    for event in events:
        answers[event.request_id].feed(event)
    return answers


def _errors(events: list[pb.ReconstructManyResponse]) -> list[tuple[str, pb.Error]]:
    return [(event.request_id, event.error) for event in events if event.HasField("error")]


def _preview(photo: bytes) -> pb.ReconstructRequest:
    return pb.ReconstructRequest(image=photo, detail=PREVIEW)


def test_every_photo_is_answered_under_its_id(stub: Stub, sample_photo: bytes) -> None:
    alone = ask(stub, _preview(sample_photo))
    ids = ["a", "ä-Ω-顔", "x" * 128, *[f"photo {i}" for i in range(17)]]
    answers = _sorted(_run(stub, [(i, _preview(sample_photo)) for i in ids]))
    assert set(answers) == set(ids)
    for answer in answers.values():
        assert answer.header == alone.header
        assert alike(answer.mesh(), alone.mesh())


def test_answers_come_as_they_finish(stub: Stub, sample_photo: bytes) -> None:
    events = _run(stub, [("slow", heavy(sample_photo, 6)), ("quick", _preview(sample_photo))])
    last = [event.request_id for event in events if event.HasField("summary")]
    assert last == ["quick", "slow"]


def test_photo_that_fails_leaves_the_others_alone(stub: Stub, sample_photo: bytes) -> None:
    good = _preview(sample_photo)
    too_many = pb.ReconstructRequest(image=sample_photo, max_faces=1000)
    pairs = [
        ("good 1", good),
        ("broken", _preview(sample_photo[:3000])),
        ("empty", pb.ReconstructRequest()),
        ("scenery", _preview(scenery())),
        ("too many", too_many),
        ("unset", pb.ReconstructRequest()),
        ("good 2", good),
    ]
    events = _run(stub, pairs)
    answers = _sorted(events)
    assert answers["good 1"].mesh() == answers["good 2"].mesh() != b""
    assert {request_id: (error.code, error.reason) for request_id, error in _errors(events)} == {
        "broken": (3, "BROKEN_IMAGE"),
        "empty": (3, "INVALID_REQUEST"),
        "scenery": (5, "NO_FACE_FOUND"),
        "too many": (3, "INVALID_REQUEST"),
        "unset": (3, "INVALID_REQUEST"),
    }
    assert all(error.message for _, error in _errors(events))
    assert dict(_errors(events))["too many"].metadata["max_faces"] == "32"
    # An error is the only event of its photo.
    assert all(answers[name].events == ["error"] for name in ("empty", "scenery", "too many"))


@pytest.mark.parametrize("bad", ["", "x" * 129])
def test_id_of_a_wrong_length_is_refused(stub: Stub, sample_photo: bytes, bad: str) -> None:
    photo = _preview(sample_photo)
    with pytest.raises(grpc.RpcError) as caught:
        _run(stub, [("good", photo), (bad, photo)])
    problem = failure(caught.value)
    assert (problem.code, problem.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )
    assert problem.metadata["field"] == "request_id"


def test_id_in_use_ends_the_stream(stub: Stub, sample_photo: bytes) -> None:
    pairs = [("twin", heavy(sample_photo, 3)), ("twin", _preview(sample_photo))]
    with pytest.raises(grpc.RpcError) as caught:
        _run(stub, pairs)
    assert failure(caught.value).reason == "INVALID_REQUEST"
    # What was in work for it ends as well, and the server goes on.
    assert _sorted(_run(stub, [("alone", _preview(sample_photo))]))["alone"].events[-1] == "summary"


def test_id_may_be_used_again_once_answered(stub: Stub, sample_photo: bytes) -> None:
    answered = threading.Semaphore(1)

    def pairs() -> Iterator[tuple[str, pb.ReconstructRequest]]:
        for _ in range(3):
            assert answered.acquire(timeout=TIMEOUT)
            yield "again", _preview(sample_photo)

    summaries = 0
    for event in stub.ReconstructMany(_messages(pairs()), timeout=TIMEOUT):
        assert not event.HasField("error")
        if event.HasField("summary"):
            summaries += 1
            answered.release()
    assert summaries == 3


def test_stream_without_photos_ends_at_once(stub: Stub) -> None:
    assert _run(stub, []) == []


def test_photos_are_not_read_ahead_of_a_client_that_does_not_read(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    """The contract: at most max_stream_photos are worked on; gRPC buffers a few more bytes."""
    limit = stub.GetServerInfo(pb.GetServerInfoRequest()).limits.max_stream_photos
    # Each photo is larger than what the transport buffers, each answer likewise.
    padded = pb.ReconstructRequest(
        image=sample_photo + bytes(4 * MIB),
        formats=[pb.MESH_FORMAT_STL],
        detail=pb.DETAIL_LEVEL_STANDARD,
    )
    pulled = itertools.count()
    highest = 0

    def pairs() -> Iterator[tuple[str, pb.ReconstructRequest]]:
        nonlocal highest
        for number in range(48):
            highest = next(pulled) + 1
            yield str(number), padded

    call = stub.ReconstructMany(_messages(pairs()), timeout=TIMEOUT)
    eventually(lambda: highest >= limit, "as many photos as the limit were sent")
    # Wait until nothing moves any more: every photo in work waits for the reader.
    settled = time.monotonic()
    seen = -1.0
    while time.monotonic() - settled < 1.5:
        now = metric(server, "protome_mesh_size_bytes_count") + highest
        if now != seen:
            seen, settled = now, time.monotonic()
        assert in_flight(server) <= limit
    # Some answers fit into the transport's buffers, so some photos may already be done.
    assert highest <= 3 * limit
    ids = set()
    for event in call:
        assert not event.HasField("error")
        if event.HasField("summary"):
            ids.add(event.request_id)
    assert ids == {str(number) for number in range(48)}
    assert in_flight(server) == 0


def test_no_more_photos_than_the_limit_are_worked_on(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    pairs = [(str(number), pb.ReconstructRequest(image=sample_photo)) for number in range(30)]
    most = 0.0
    for event in stub.ReconstructMany(_messages(pairs), timeout=TIMEOUT):
        if event.HasField("header"):
            most = max(most, in_flight(server))
    assert 1 < most <= 8


def test_half_closed_stream_is_answered_to_the_end(stub: Stub, sample_photo: bytes) -> None:
    """All photos are sent and the client's side is closed long before the last answer."""
    answers = _sorted(_run(stub, [(str(n), large(sample_photo, 2)) for n in range(3)]))
    assert [answers[name].events[-1] for name in ("0", "1", "2")] == ["summary"] * 3


def test_cancelled_stream_leaves_nothing_behind(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    def faults() -> float:
        return metric(server, "protome_requests_total", method="ReconstructMany", code="INTERNAL")

    never, before = threading.Event(), faults()

    def pairs() -> Iterator[tuple[str, pb.ReconstructRequest]]:
        for number in range(8):
            yield str(number), heavy(sample_photo, 4)
        never.wait(TIMEOUT)

    call = stub.ReconstructMany(_messages(pairs()), timeout=TIMEOUT)
    next(iter(call))
    cancel(call)
    never.set()
    eventually(lambda: in_flight(server) == 0, "no photo in flight")
    assert faults() == before
    assert ask(stub, _preview(sample_photo)).events[-1] == "summary"


def test_deadline_of_the_stream_ends_it(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    never = threading.Event()

    def pairs() -> Iterator[tuple[str, pb.ReconstructRequest]]:
        for number in range(8):
            yield str(number), heavy(sample_photo, 8)
        never.wait(TIMEOUT)  # photos refused as hopeless must not end the stream before its time

    with pytest.raises(grpc.RpcError) as caught:
        list(stub.ReconstructMany(_messages(pairs()), timeout=1.0))
    never.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: in_flight(server) == 0, "no photo in flight")
    assert ask(stub, _preview(sample_photo)).events[-1] == "summary"


def test_photos_over_the_servers_limit_fail_one_by_one(sample_photo: bytes) -> None:
    with (
        EmbeddedServer([*ONE_WORKER, "--max-requests", "1", "--max-stream-photos", "4"]) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = Stub(channel)
        pairs: Pairs = [("first", heavy(sample_photo, 2))]
        pairs += [(str(number), _preview(sample_photo)) for number in range(3)]
        events = _run(stub, pairs)
        errors = _errors(events)
        assert errors
        for _, error in errors:
            assert (error.code, error.reason) == (8, "OVERLOADED")
            assert error.retry_delay.ToTimedelta().total_seconds() > 0
        assert _sorted(events)["first"].events[-1] == "summary"


def test_asyncio_client_yields_each_photo_once(server: EmbeddedServer, sample_photo: bytes) -> None:
    async def photos() -> AsyncIterator[tuple[str, pb.ReconstructRequest]]:
        for number in range(12):
            yield f"good {number}", _preview(sample_photo)
        yield "scenery", _preview(scenery())
        yield "broken", _preview(b"no picture")

    async def run() -> dict[str, Reconstruction | ReconstructionError]:
        async with AsyncClient(server.address) as client:
            pairs = [pair async for pair in client.reconstruct_many(photos(), timeout=TIMEOUT)]
        assert len(pairs) == 14
        return dict(pairs)

    outcomes = asyncio.run(run())
    good = [outcome for outcome in outcomes.values() if isinstance(outcome, Reconstruction)]
    assert len(good) == 12
    for answer in good:
        assert alike(answer.faces[0].mesh, good[0].faces[0].mesh)
    assert isinstance(outcomes["scenery"], NoFaceFound)
    assert isinstance(outcomes["broken"], ReconstructionError)
