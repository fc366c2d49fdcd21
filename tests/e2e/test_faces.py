"""Photos with several faces, limits on faces, and boxes that the client gives."""

from __future__ import annotations

import math

import grpc
import numpy as np
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.photos import FACE, collage, group
from tests.support.service import Answer, Stub, ask, boxes, overlap, refused, to_photo

SIDES = (256, 512, 384)
# Widths of faces, pixels.
COLLAGE = tuple(range(48, 110, 2))


def _scaled(left: float, scale: float) -> pb.BoundingBox:
    x, y, width, height = FACE
    return boxes((left + x * scale, y * scale, width * scale, height * scale))[0]


# By size: the 512, the 384 and the 256 pixel copy.
WHERE = (_scaled(256, 1.0), _scaled(768, 0.75), _scaled(0, 0.5))


@pytest.fixture(scope="module")
def group_photo(sample_photo: bytes) -> bytes:
    return group(sample_photo, SIDES)


@pytest.fixture(scope="module")
def answer(server: EmbeddedServer, group_photo: bytes) -> Answer:
    with grpc.insecure_channel(server.address) as channel:
        return ask(Stub(channel), pb.ReconstructRequest(image=group_photo))


def test_every_face_is_found_largest_first(answer: Answer) -> None:
    assert [face.index for face in answer.header.faces] == [0, 1, 2]
    for face, where in zip(answer.header.faces, WHERE, strict=True):
        assert overlap(face.box, where) > 0.6


def test_every_face_gets_a_mesh_in_its_place(answer: Answer) -> None:
    assert [report.face_index for report in answer.summary.faces] == [0, 1, 2]
    for face in answer.header.faces:
        mesh = readers.read(answer.mesh(face.index), answer.header)
        assert mesh.is_volume
        assert 0.1 < mesh.extents[0] < 0.3
        centre = to_photo(face, mesh.bounds.mean(axis=0)[None])[0]
        middle = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
        assert np.hypot(*(centre[:2] - middle)) < 0.35 * face.box.height


def test_the_same_face_at_other_sizes_gives_nearly_the_same_mesh(
    stub: Stub, group_photo: bytes
) -> None:
    answer = ask(stub, pb.ReconstructRequest(image=group_photo, boxes=WHERE))
    largest, *smaller = (readers.read(answer.mesh(i), answer.header) for i in range(3))
    for mesh in smaller:
        assert mesh.volume == pytest.approx(largest.volume, rel=0.1)
        assert np.allclose(mesh.extents, largest.extents, atol=0.01)


def test_max_faces_keeps_the_largest(stub: Stub, group_photo: bytes, answer: Answer) -> None:
    limited = ask(stub, pb.ReconstructRequest(image=group_photo, max_faces=1))
    assert limited.outcomes() == ["RECONSTRUCTED", "OVER_MAX_FACES", "OVER_MAX_FACES"]
    assert [face.box for face in limited.header.faces] == [face.box for face in answer.header.faces]
    assert [bool(face.mesh_to_photo) for face in limited.header.faces] == [True, False, False]
    assert {chunk.face_index for chunk in limited.chunks} == {0}
    assert [report.face_index for report in limited.summary.faces] == [0]


def test_given_boxes_are_taken_as_they_are(stub: Stub, sample_photo: bytes) -> None:
    given = boxes(FACE)
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo, boxes=given))
    (face,) = answer.header.faces
    assert face.box == given[0]
    assert face.score == 1
    assert readers.read(answer.mesh(), answer.header).is_volume


def test_given_boxes_keep_their_order_and_the_first_are_kept(
    stub: Stub, group_photo: bytes
) -> None:
    given = [WHERE[2], WHERE[0], WHERE[1]]
    answer = ask(stub, pb.ReconstructRequest(image=group_photo, boxes=given, max_faces=2))
    assert [face.box for face in answer.header.faces] == given
    assert answer.outcomes() == ["RECONSTRUCTED", "RECONSTRUCTED", "OVER_MAX_FACES"]
    assert {chunk.face_index for chunk in answer.chunks} == {0, 1}


def test_small_faces_are_left_out_and_said_so(stub: Stub, sample_photo: bytes) -> None:
    given = boxes(FACE, (100, 100, 19.5, 25))
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo, boxes=given))
    assert answer.outcomes() == ["RECONSTRUCTED", "TOO_SMALL"]
    assert not answer.header.faces[1].mesh_to_photo
    assert [report.face_index for report in answer.summary.faces] == [0]


def test_photo_whose_faces_are_all_too_small_succeeds(stub: Stub, sample_photo: bytes) -> None:
    request = pb.ReconstructRequest(image=sample_photo, boxes=boxes((100, 100, 15, 15)))
    answer = ask(stub, request)
    assert answer.events == ["header", "summary"]
    assert answer.outcomes() == ["TOO_SMALL"]


def test_box_without_a_head_has_no_surface_or_a_sound_mesh(stub: Stub, sample_photo: bytes) -> None:
    """The network decides whether there is a head; either way the answer is whole."""
    request = pb.ReconstructRequest(image=sample_photo, boxes=boxes((440, 440, 60, 60)))
    answer = ask(stub, request)
    (report,) = answer.summary.faces
    if report.outcome == pb.FACE_OUTCOME_NO_SURFACE:
        assert report.message
        assert not answer.chunks
    else:
        assert report.outcome == pb.FACE_OUTCOME_RECONSTRUCTED
        assert readers.read(answer.mesh(), answer.header).is_watertight


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 0, 50),
        (10, 10, 50, -1),
        (math.nan, 10, 50, 50),
        (10, math.inf, 50, 50),
        (-500, 10, 50, 50),
        (10, 2000, 50, 50),
        (-5000, -5000, 10500, 10500),
        (10, 10, 300, 30),
        (3.4e38, 3.4e38, 3.4e38, 3.4e38),
    ],
)
def test_bad_box_is_refused_by_its_number(
    stub: Stub, sample_photo: bytes, box: tuple[float, float, float, float]
) -> None:
    problem = refused(stub, pb.ReconstructRequest(image=sample_photo, boxes=boxes(FACE, box)))
    assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
    assert problem.reason == "INVALID_REQUEST"
    assert problem.metadata["field"] == "boxes[1]"


def test_box_over_the_border_is_fine(stub: Stub, sample_photo: bytes) -> None:
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo, boxes=boxes((-40, -40, 100, 120))))
    assert answer.outcomes() == ["RECONSTRUCTED"]
    assert answer.events[-1] == "summary"


def test_as_many_boxes_as_the_limit_are_fine_and_one_more_is_not(
    stub: Stub, sample_photo: bytes
) -> None:
    limit = stub.GetServerInfo(pb.GetServerInfoRequest()).limits.max_faces
    request = pb.ReconstructRequest(
        image=sample_photo, boxes=boxes(*[FACE] * limit), detail=pb.DETAIL_LEVEL_PREVIEW
    )
    assert ask(stub, request).outcomes() == ["RECONSTRUCTED"] * limit
    request.boxes.append(boxes(FACE)[0])
    problem = refused(stub, request)
    assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
    assert problem.metadata == {
        "field": "boxes",
        "value": str(limit + 1),
        "max_faces": str(limit),
    }


def test_everyone_of_a_collage_is_answered_largest_first(stub: Stub, sample_photo: bytes) -> None:
    """31 faces, without asking for so many."""
    request = pb.ReconstructRequest(
        image=collage(sample_photo, COLLAGE), detail=pb.DETAIL_LEVEL_PREVIEW
    )
    answer = ask(stub, request, 120)
    assert answer.outcomes() == ["RECONSTRUCTED"] * len(COLLAGE)
    areas = [face.box.width * face.box.height for face in answer.header.faces]
    assert areas == sorted(areas, reverse=True)
    # As many heads, each in its own place of the collage.
    cell = answer.header.photo_width / 7
    places = {
        (int((b.x + b.width / 2) / cell), int((b.y + b.height / 2) / cell))
        for b in (face.box for face in answer.header.faces)
    }
    assert len(places) == len(COLLAGE)
    for report in answer.summary.faces:
        assert report.outcome == pb.FACE_OUTCOME_RECONSTRUCTED
        mesh = readers.read(answer.mesh(report.face_index), answer.header)
        assert mesh.is_watertight
        assert 0.2 < mesh.extents[1] < 0.4


def test_of_more_faces_than_the_limit_the_largest_are_answered(
    stub: Stub, sample_photo: bytes
) -> None:
    limit = stub.GetServerInfo(pb.GetServerInfoRequest()).limits.max_faces
    widths = tuple(range(60, 60 + limit + 3))
    request = pb.ReconstructRequest(
        image=collage(sample_photo, widths), detail=pb.DETAIL_LEVEL_PREVIEW
    )
    answer = ask(stub, request, 120)
    assert answer.outcomes() == ["RECONSTRUCTED"] * limit + ["OVER_MAX_FACES"] * 3
    assert {chunk.face_index for chunk in answer.chunks} == {*range(limit)}
