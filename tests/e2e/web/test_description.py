"""Schemathesis: requests made from the OpenAPI description are answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from protome.embedded import EmbeddedServer
from tests.support.http import RECONSTRUCT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# The same requests each time, so that a run says something of the change and not of the dice.
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def checks() -> list[Any]:
    """Import what responses are checked for."""
    from schemathesis.specs.openapi import checks

    return [
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]


@pytest.fixture(scope="module")
def schema(server: EmbeddedServer) -> Any:
    # Here, since it takes a second and every process imports this module.
    import schemathesis

    return schemathesis.openapi.from_url(f"http://{server.web}/openapi.json")


@pytest.mark.parametrize(("path", "method"), [(RECONSTRUCT, "POST"), ("/v1/info", "GET")])
def test_any_request_is_answered_as_described(
    schema: Any, checks: list[Any], path: str, method: str
) -> None:
    @SETTINGS
    @given(case=schema[path][method].as_strategy())
    def check(case: Any) -> None:
        response = case.call()
        # 503 and 504 are answers to a time limit that is too short.
        assert response.status_code != 500
        case.validate_response(response, checks=checks)

    check()


def test_any_options_with_a_photo(schema: Any, checks: list[Any], sample_photo: bytes) -> None:
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
        case.validate_response(response, checks=checks)

    check()
    assert statuses.count(200) > 5
