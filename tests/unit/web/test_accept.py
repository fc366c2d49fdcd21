"""The header Accept chooses the form of a response."""

from __future__ import annotations

import pytest

from protome.v1 import reconstruction_pb2 as pb
from protome.web.accept import EVENTS, JSON, MESH_TYPES, SUFFIXES, choose_type

OFFERED = (*MESH_TYPES.values(), JSON, EVENTS)
GLB = "model/gltf-binary"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", GLB),
        ("*/*", GLB),
        ("text/html,application/xhtml+xml,*/*;q=0.8", GLB),
        ("model/stl", "model/stl"),
        ("MODEL/OBJ", "model/obj"),
        ("model/*", GLB),
        ("application/*", "application/ply"),
        ("application/json", JSON),
        ("text/event-stream", EVENTS),
        ("model/obj;q=0.5, model/stl;q=0.6", "model/stl"),
        ("*/*;q=0.1, application/json", JSON),
        ("*/*, model/gltf-binary;q=0", "application/ply"),
        ("application/json;charset=utf-8", JSON),
        ("image/png", None),
        ("model/stl;q=0", None),
        ("model/stl;q=much", None),
        (",,;", None),
    ],
)
def test_the_best_acceptable_type_is_chosen(accept: str, chosen: str | None) -> None:
    assert choose_type(accept, OFFERED) == chosen


def test_every_format_has_a_media_type_and_a_suffix() -> None:
    formats = set(pb.MeshFormat.values()) - {pb.MESH_FORMAT_UNSPECIFIED}
    assert set(MESH_TYPES) == formats
    assert set(SUFFIXES) == formats
