"""Every error maps to a gRPC status with google.rpc details."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from protome import errors
from protome.errors import ProtomeError
from protome.server.calls import status
from protome.workers.protocol import TaskError


def subclasses(kind: type[ProtomeError]) -> Iterator[type[ProtomeError]]:
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("protome."):
            yield sub
        yield from subclasses(sub)


KINDS = sorted(set(subclasses(ProtomeError)), key=lambda kind: kind.__name__)


def decoded(error: ProtomeError) -> tuple[status_pb2.Status, dict[str, Message]]:
    (key, value), *others = status.trailers(error)
    assert key == "grpc-status-details-bin"
    assert isinstance(value, bytes)
    # gRPC clients, which retry CANCELLED as other servers say it, are not to retry this one.
    pushback = [("grpc-retry-pushback-ms", "-1")]
    assert others == (pushback if isinstance(error, errors.ClientGone) else [])
    whole = status_pb2.Status.FromString(value)
    found: dict[str, Message] = {}
    for packed in whole.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                found[kind.DESCRIPTOR.name] = message
    assert len(found) == len(whole.details)
    return whole, found


def test_every_error_has_a_status() -> None:
    assert len(KINDS) > 8
    assert set(status.CODES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_reasons_are_unique_and_in_upper_case(kind: type[ProtomeError]) -> None:
    assert kind.reason == kind.reason.upper()
    assert [other.reason for other in KINDS].count(kind.reason) == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.UnsupportedFormat, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.BrokenImage, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.ImageTooLarge, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NoFaceFound, grpc.StatusCode.NOT_FOUND),
        (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DeadlinePassed, grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.WorkerDied, grpc.StatusCode.UNAVAILABLE),
        (errors.Draining, grpc.StatusCode.UNAVAILABLE),
        (errors.Internal, grpc.StatusCode.INTERNAL),
    ],
)
def test_codes_are_those_of_the_contract(kind: type[ProtomeError], code: grpc.StatusCode) -> None:
    assert status.code(kind("x")) is code


@pytest.mark.parametrize("kind", KINDS)
def test_details_have_reason_facts_and_retry_delay(kind: type[ProtomeError]) -> None:
    whole, details = decoded(kind("for a person", limit=7))
    assert whole.code == status.code(kind("x")).value[0]
    assert whole.message == "for a person"
    info = details["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (kind.reason, "protome")
    assert dict(info.metadata) == {"limit": "7"}
    retry = details.get("RetryInfo")
    if kind.retry_seconds is None:
        assert retry is None
    else:
        assert isinstance(retry, error_details_pb2.RetryInfo)
        delay = retry.retry_delay
        assert delay.seconds + delay.nanos / 1e9 == pytest.approx(kind.retry_seconds)


def test_only_temporary_errors_have_a_retry_delay() -> None:
    again = {kind for kind in KINDS if kind.retry_seconds is not None}
    assert again == {errors.Overloaded, errors.WorkerDied, errors.Draining}


@pytest.mark.parametrize("kind", KINDS)
def test_stream_events_have_the_same_details(kind: type[ProtomeError]) -> None:
    message = status.as_message(kind("for a person", limit=7))
    assert message.code == status.code(kind("x")).value[0]
    assert (message.reason, message.message) == (kind.reason, "for a person")
    assert dict(message.metadata) == {"limit": "7"}
    assert message.HasField("retry_delay") == (kind.retry_seconds is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_travel_between_processes(kind: type[ProtomeError]) -> None:
    error = kind("for a person", limit=7)
    copy = TaskError.of(error).error()
    assert type(copy) is kind
    assert str(copy) == copy.message == "for a person"
    assert copy.facts == {"limit": "7"}
    assert copy.retry_seconds == error.retry_seconds
