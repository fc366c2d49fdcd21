"""Schemathesis: requests made from the OpenAPI description are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from protome.embedded import EmbeddedServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture
def described(server: EmbeddedServer) -> Any:
    return schemathesis.openapi.from_url(f"http://{server.web}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")
thorough = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@schema.parametrize()
@thorough
def test_any_request_is_answered_as_described(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)


@schema.include(path="/v1/reconstruct").parametrize()
@thorough
def test_any_options_with_a_photo(case: schemathesis.Case, sample_photo: bytes) -> None:
    """Each combination of valid options is served, or refused by a documented error."""
    case.body = sample_photo
    case.media_type = "application/octet-stream"
    # Large meshes say nothing more here.
    case.query["max_triangles"] = 500
    response = case.call()
    case.validate_response(response, checks=CHECKS)
