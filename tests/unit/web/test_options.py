"""The query of a URL becomes the request of the contract."""

from __future__ import annotations

import math

import pytest

from protome.errors import InvalidRequest
from protome.v1 import reconstruction_pb2 as pb
from protome.web.openapi import OPTIONS
from protome.web.options import FIELDS, TIMEOUT, read_options, short_names


def read(**given: str) -> pb.ReconstructRequest:
    return read_options(given.items())[0]


def test_without_options_it_is_a_textured_standard_mesh() -> None:
    assert read() == pb.ReconstructRequest(appearance=pb.APPEARANCE_TEXTURE)


def test_every_option_is_read() -> None:
    request, seconds = read_options(
        [
            ("boxes", "1,2,3.5,4"),
            ("boxes", "-5,6,7,8"),
            ("max_faces", "3"),
            ("detail", "fine"),
            ("formats", "ply,stl"),
            ("formats", "obj"),
            ("compressions", "MESHOPT"),
            ("appearance", "APPEARANCE_VERTEX_COLOURS"),
            ("preview_first", ""),
            ("priority", "background"),
            ("max_triangles", "5000"),
            ("max_mesh_bytes", "70000"),
            ("vertex_quality", "True"),
            ("timeout", "2.5"),
        ]
    )
    assert request == pb.ReconstructRequest(
        boxes=[
            pb.BoundingBox(x=1, y=2, width=3.5, height=4),
            pb.BoundingBox(x=-5, y=6, width=7, height=8),
        ],
        max_faces=3,
        detail=pb.DETAIL_LEVEL_FINE,
        formats=[pb.MESH_FORMAT_PLY, pb.MESH_FORMAT_STL, pb.MESH_FORMAT_OBJ],
        compressions=[pb.COMPRESSION_MESHOPT],
        appearance=pb.APPEARANCE_VERTEX_COLOURS,
        preview_first=True,
        priority=pb.PRIORITY_BACKGROUND,
        max_triangles=5000,
        max_mesh_bytes=70000,
        vertex_quality=True,
    )
    assert seconds == 2.5


def test_without_a_time_limit_there_is_none() -> None:
    assert read_options([])[1] == math.inf


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("detail", "finest"),
        ("detail", ""),
        ("detail", "unspecified"),
        ("formats", "glb,"),
        ("appearance", "0"),
        ("preview_first", "maybe"),
        ("max_faces", "-1"),
        ("max_faces", "1.0"),
        ("max_faces", "4294967296"),
        ("max_triangles", "٣"),
        ("boxes", "1,2,3"),
        ("boxes", "1,2,3,four"),
        ("timeout", "0"),
        ("timeout", "-1"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("timeout", "soon"),
        ("image", "x"),
        ("colour", "red"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**{name: value})
    facts = caught.value.facts
    assert facts["field"] == name
    # For the log; of a list, the item.
    assert (name not in FIELDS and name != TIMEOUT) or facts["value"] in value


def test_no_more_of_a_long_text_is_repeated_than_a_line_holds() -> None:
    for query in ([("detail", "x" * 9999)], [("x" * 9999, "1")]):
        with pytest.raises(InvalidRequest) as caught:
            read_options(query)
        assert max(map(len, (caught.value.message, *caught.value.facts.values()))) < 200


def test_an_option_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than once"):
        read_options([("detail", "fine"), ("detail", "preview")])


def test_a_misspelt_option_comes_with_the_right_one() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'preview_first'"):
        read(previewfirst="true")


def test_short_names_are_those_of_the_clients() -> None:
    enum = pb.DESCRIPTOR.enum_types_by_name["Appearance"]
    assert dict(short_names(enum)) == {"none": 1, "vertex_colours": 2, "texture": 3}


def test_every_option_is_described() -> None:
    assert set(OPTIONS) == {*FIELDS, TIMEOUT}
