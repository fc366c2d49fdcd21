"""Each photo leaves one line in the log."""

from __future__ import annotations

import logging
import time

import grpc
import pytest

from protome.errors import BrokenImage, ImageTooLarge, InvalidRequest, Overloaded, ProtomeError
from protome.server.calls import status
from protome.server.calls.results import log_result, status_to_count

INF = float("inf")


def logged(caplog: pytest.LogCaptureFixture, error: ProtomeError) -> logging.LogRecord:
    with caplog.at_level(logging.INFO):
        log_result("grpc", "Reconstruct", status.code(error), error, 0.25)
    (record,) = caplog.records
    return record


@pytest.mark.parametrize(
    ("faces", "text"), [(1, "1 face"), (0, "0 faces"), (31, "31 faces"), (None, None)]
)
def test_an_answer_has_its_time_and_its_faces(
    caplog: pytest.LogCaptureFixture, faces: int | None, text: str | None
) -> None:
    with caplog.at_level(logging.INFO):
        log_result("grpc", "Reconstruct", grpc.StatusCode.OK, None, 0.25, faces)
    (record,) = caplog.records
    assert record.getMessage() == "Reconstruct OK in 0.250 s" + (f", {text}" if text else "")
    assert getattr(record, "faces", None) == faces
    assert record.seconds == 0.25  # type: ignore[attr-defined]


def test_a_refusal_has_the_facts(caplog: pytest.LogCaptureFixture) -> None:
    error = ImageTooLarge("image has 9 bytes, the limit is 8", bytes=9, max_image_bytes=8)
    record = logged(caplog, error)
    ending = "INVALID_ARGUMENT IMAGE_TOO_LARGE (bytes 9, max_image_bytes 8)"
    assert record.getMessage() == f"Reconstruct {ending}"
    assert record.facts == {"bytes": "9", "max_image_bytes": "8"}  # type: ignore[attr-defined]


def test_a_decoder_does_not_get_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Its message may quote the picture."""
    record = logged(caplog, BrokenImage("cannot decode b'secret'", format="PNG"))
    assert record.getMessage() == "Reconstruct INVALID_ARGUMENT BROKEN_IMAGE (format PNG)"


def test_a_fault_of_the_server_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(caplog, Overloaded("16 streams are open", max_streams=16))
    ending = "RESOURCE_EXHAUSTED OVERLOADED: 16 streams are open (max_streams 16)"
    assert record.getMessage() == f"Reconstruct {ending}"


def test_facts_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(caplog, InvalidRequest("wrong", field="a\nERROR root: b\x1b[2J"))
    assert record.getMessage().endswith("(field a\\nERROR root: b\\x1b[2J)")


def test_calls_cancelled_at_their_deadline_are_counted_as_late() -> None:
    now, codes = time.monotonic(), grpc.StatusCode
    assert status_to_count(codes.CANCELLED, now) is codes.DEADLINE_EXCEEDED
    assert status_to_count(codes.CANCELLED, now + 60) is codes.CANCELLED
    assert status_to_count(codes.CANCELLED, INF) is codes.CANCELLED
    assert status_to_count(codes.INTERNAL, now) is codes.INTERNAL
