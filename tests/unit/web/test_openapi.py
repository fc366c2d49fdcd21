"""The description of the HTTP interface fits what is sent."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from protome import errors
from protome.config import Config
from protome.v1 import reconstruction_pb2 as pb
from protome.web.answers import to_json
from protome.web.openapi import describe_api
from protome.web.options import FIELDS, TIMEOUT
from protome.web.problems import problem


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(describe_api(Config())))
    return document


def check(api: dict[str, Any], name: str, value: object) -> None:
    """Validate a value against a schema of the document, with no field besides those it has."""
    schemas = {
        key: {**schema, "additionalProperties": False}
        for key, schema in api["components"]["schemas"].items()
    }
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    jsonschema_rs.validator_for(whole).validate(value)


def test_every_option_is_a_parameter(api: dict[str, Any]) -> None:
    parameters = api["paths"]["/v1/reconstruct"]["post"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {*FIELDS, TIMEOUT}
    assert all(parameter["description"] for parameter in parameters)


def test_messages_fit_their_schemas(api: dict[str, Any]) -> None:
    face = pb.Face(index=1, box=pb.BoundingBox(x=1), mesh_to_photo=[1.0] * 16)
    face.outcome = pb.FACE_OUTCOME_TOO_SMALL
    header = pb.Header(photo_width=3, faces=[face], model=pb.Model(name="n"))
    mesh = pb.MeshSummary(sha256=b"12", size=1 << 40)
    summary = pb.Summary(
        faces=[pb.FaceSummary(confidence=0.5, meshes=[mesh], pose=pb.Pose(yaw_degrees=3))],
        times=pb.PhotoTimes(total_seconds=1.0),
    )
    info = pb.GetServerInfoResponse(
        limits=pb.Limits(max_image_bytes=5), formats=[pb.MESH_FORMAT_PLY]
    )
    for message in (header, summary, info):
        check(api, message.DESCRIPTOR.name, json.loads(to_json(message)))


def test_a_value_that_does_not_fit_is_seen(api: dict[str, Any]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check(api, "Header", {"photo_width": "3"})


def test_problems_fit_their_schema(api: dict[str, Any]) -> None:
    for error in (errors.Overloaded("x", limit=3), errors.BrokenImage("y")):
        check(api, "Problem", json.loads(problem(error)[2]))


def test_a_token_is_asked_for_only_if_the_server_does(api: dict[str, Any]) -> None:
    guarded = describe_api(Config(token_file="tokens.toml"))
    for path in ("/v1/reconstruct", "/v1/info"):
        (open_,) = api["paths"][path].values()
        (closed,) = guarded["paths"][path].values()
        assert "security" not in open_
        assert closed["security"] == [{"token": []}]
        assert "401" in closed["responses"]
