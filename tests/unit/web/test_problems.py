"""Errors as HTTP statuses and problem details."""

from __future__ import annotations

import json

from protome import errors
from protome.server.calls.status import CODES
from protome.web.problems import EXACT, PROBLEM, describe, http_status, plain_problem, problem


def test_every_error_has_a_status_of_its_side() -> None:
    """What gRPC counts as a fault of the client is a 4xx, of the server a 5xx."""
    client = {"INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "CANCELLED", "RESOURCE_EXHAUSTED"}
    for kind, code in CODES.items():
        status = http_status(kind)
        expected = 4 if code.name in client and kind is not errors.Overloaded else 5
        assert status // 100 == expected, kind
    assert set(EXACT) <= set(CODES)


def test_statuses_of_what_clients_meet() -> None:
    statuses = {kind.reason: http_status(kind) for kind in CODES}
    assert statuses["INVALID_REQUEST"] == 400
    assert statuses["UNAUTHENTICATED"] == 401
    assert statuses["IMAGE_TOO_LARGE"] == 413
    assert statuses["UNSUPPORTED_FORMAT"] == 415
    assert statuses["NO_FACE_FOUND"] == 422
    assert statuses["QUOTA_EXCEEDED"] == 429
    assert statuses["OVERLOADED"] == statuses["DRAINING"] == 503
    assert statuses["DEADLINE_PASSED"] == 504


def test_a_problem_has_reason_metadata_and_when_to_retry() -> None:
    error = errors.Overloaded("too much", retry_seconds=2.2, max_requests=4)
    code, headers, body = problem(error)
    assert code == 503
    assert dict(headers) == {"content-type": PROBLEM, "retry-after": "3"}
    assert json.loads(body) == {
        "type": "/docs/#OVERLOADED",
        "title": "The server is overloaded, or cannot meet the deadline of this request",
        "status": 503,
        "detail": "too much",
        "reason": "OVERLOADED",
        "metadata": {"max_requests": "4"},
        "retry_after": 2.2,
    }


def test_no_retry_is_offered_where_it_would_not_help() -> None:
    error = errors.BrokenImage("cut")
    assert "retry_after" not in describe(error)
    assert "retry-after" not in dict(problem(error)[1])


def test_a_missing_token_names_the_scheme() -> None:
    code, headers, _ = problem(errors.Unauthenticated("no token"))
    assert code == 401
    assert dict(headers)["www-authenticate"] == "Bearer"


def test_errors_of_http_itself_have_no_reason() -> None:
    assert json.loads(plain_problem(404)) == {
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }
