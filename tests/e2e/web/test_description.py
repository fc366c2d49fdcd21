"""Schemathesis: requests made from the OpenAPI description are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from protome.embedded import EmbeddedServer
from tests.support.http import RECONSTRUCT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# The same requests each time, so that a run says something of the change and not of the dice.
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def schema(server: EmbeddedServer) -> Any:
    return schemathesis.openapi.from_url(f"http://{server.web}/openapi.json")


@pytest.mark.parametrize(("path", "method"), [(RECONSTRUCT, "POST"), ("/v1/info", "GET")])
def test_any_request_is_answered_as_described(schema: Any, path: str, method: str) -> None:
    @SETTINGS
    @given(case=schema[path][method].as_strategy())
    def check(case: Any) -> None:
        response = case.call()
        # 503 and 504 are answers to a time limit that is too short.
        assert response.status_code != 500
        case.validate_response(response, checks=CHECKS)

    check()


def test_any_options_with_a_photo(schema: Any, sample_photo: bytes) -> None:
    """Each combination of valid options is served, or refused by a documented error."""
    statuses = []

    @SETTINGS
    @given(case=schema[RECONSTRUCT]["POST"].as_strategy())
    def check(case: Any) -> None:
        case.body, case.media_type = sample_photo, "application/octet-stream"
        # Large meshes say nothing more here.
        case.query["max_triangles"] = 500
        response = case.call()
        assert response.status_code != 500
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()
    assert statuses.count(200) > 5
