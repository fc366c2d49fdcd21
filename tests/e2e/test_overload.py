"""More than can be done in time: a quick no to some, the answer to the others, little wasted."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    OPTIONS,
    SMALL,
    TIMEOUT,
    Failure,
    Stub,
    ask,
    cancel,
    eventually,
    failure,
    heavy,
    in_flight,
    metric,
    refused,
)

SECONDS = 1.5
CALLS = 120


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedServer]:
    with EmbeddedServer([*SMALL]) as running:
        yield running


@pytest.fixture
def busy(small: EmbeddedServer) -> Iterator[Stub]:
    with grpc.insecure_channel(small.address, options=OPTIONS) as channel:
        yield Stub(channel)


def _seconds(stub: Stub, request: pb.ReconstructRequest) -> float:
    """How long one answer takes."""
    began = time.monotonic()
    ask(stub, request)
    return time.monotonic() - began


def test_requests_that_cannot_meet_their_deadline_are_refused_at_once(
    small: EmbeddedServer, busy: Stub, sample_photo: bytes
) -> None:
    request = pb.ReconstructRequest(image=sample_photo)
    # On a busy machine what comes in time takes longer too.
    limit = max(SECONDS, 8 * statistics.median(_seconds(busy, request) for _ in range(3)))
    spent, wasted = metric(small, "protome_work_seconds_total"), 0.0

    def one(_: int) -> tuple[float, Failure | None]:
        began = time.monotonic()
        try:
            ask(busy, request, limit)
        except grpc.RpcError as error:
            return time.monotonic() - began, failure(error)
        return time.monotonic() - began, None

    with ThreadPoolExecutor(CALLS) as threads:
        results = list(threads.map(one, range(CALLS)))
    served = [seconds for seconds, problem in results if problem is None]
    told = [
        seconds
        for seconds, problem in results
        if problem is not None and problem.reason == "OVERLOADED"
    ]
    assert served
    # By the clock of threads that wait for each other.
    assert max(served) <= limit + 2
    assert len(told) > CALLS / 4
    assert sorted(told)[len(told) // 2] < limit
    for _, problem in results:
        if problem is not None and problem.reason == "OVERLOADED":
            assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert problem.retry_seconds
    spent = metric(small, "protome_work_seconds_total") - spent
    wasted = metric(small, "protome_wasted_seconds_total")
    assert wasted < 0.25 * spent


def test_one_greedy_stream_does_not_hold_up_the_others(
    small: EmbeddedServer, busy: Stub, sample_photo: bytes
) -> None:
    request = pb.ReconstructRequest(image=sample_photo)
    alone = [_seconds(busy, request) for _ in range(3)]

    def endless() -> Iterator[pb.ReconstructManyRequest]:
        for number in itertools.count():
            yield pb.ReconstructManyRequest(request_id=str(number), request=request)

    call = busy.ReconstructMany(endless(), timeout=TIMEOUT)
    answered = 0
    for event in call:
        answered += event.HasField("summary")
        if answered == 8:
            break
    waits = [_seconds(busy, request) for _ in range(5)]
    cancel(call)
    eventually(lambda: in_flight(small) == 0, "the stream has ended")
    # Before and after, as other processes may have become busy.
    alone += [_seconds(busy, request) for _ in range(3)]
    # Eight of its photos are in the line all the time; behind all of them it would be eight more.
    assert sorted(waits)[2] < 7 * sorted(alone)[3]


def test_background_priority_is_accepted_and_unknown_ones_are_refused(
    busy: Stub, sample_photo: bytes
) -> None:
    request = pb.ReconstructRequest(image=sample_photo, priority=pb.PRIORITY_BACKGROUND)
    assert ask(busy, request).outcomes() == ["RECONSTRUCTED"]
    request = heavy(sample_photo, 1)
    request.priority = 77  # type: ignore[assignment]
    problem = refused(busy, request)
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert problem.metadata["field"] == "priority"
