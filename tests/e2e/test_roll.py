"""Heads that lie or hang upside down, through the real service."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from load_tests.micro.roll import Head, compare, head
from protome.client import Client
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.photos import FACE, opened, saved
from tests.support.service import Stub, ask, boxes, matrix, to_photo


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Client:
    return Client(server.address)


@pytest.fixture(scope="module")
def upright(client: Client, sample_photo: bytes) -> Head:
    return head(client, opened(sample_photo), 0)


QUICK = (90, 150, 180)  # the other angles are slow tests
ANGLES = [
    pytest.param(angle, marks=() if angle in QUICK else pytest.mark.slow)
    for angle in range(30, 360, 30)
]


@pytest.mark.parametrize("angle", ANGLES)
def test_a_turned_photo_gives_the_same_head_turned(
    client: Client, sample_photo: bytes, upright: Head, angle: int
) -> None:
    turned = head(client, opened(sample_photo), angle)
    off = compare(upright, turned, angle)
    assert off.roll < 5
    assert off.landmarks < 6
    assert off.mesh < 4
    assert turned.confidence > 0.8


def test_an_upside_down_face_has_its_own_colours(stub: Stub, sample_photo: bytes) -> None:
    picture = opened(sample_photo).rotate(180)
    answer = ask(
        stub,
        pb.ReconstructRequest(
            image=saved(picture, "PNG"),
            formats=[pb.MESH_FORMAT_PLY],
            appearance=pb.APPEARANCE_VERTEX_COLOURS,
            vertex_quality=True,
        ),
    )
    mesh = readers.read(answer.mesh(), answer.header)
    assert mesh.is_volume
    _, confidence = readers.vertex_quality(answer.mesh(), answer.header)
    sure = confidence > 0.9
    assert sure.sum() > 1000
    spots = to_photo(answer.header.faces[0], mesh.vertices)[sure, :2].astype(int)
    shown = np.asarray(picture)[spots[:, 1], spots[:, 0]].astype(float)
    assert np.abs(shown - readers.colours(mesh)[sure]).mean() < 12


def test_one_upright_and_one_hanging_head(stub: Stub, sample_photo: bytes) -> None:
    part = opened(sample_photo).crop((100, 0, 356, 256))
    picture = Image.new("RGB", (1000, 600), (90, 110, 130))
    picture.paste(part.resize((400, 400)), (40, 100))
    picture.paste(part.rotate(180), (560, 150))
    answer = ask(stub, pb.ReconstructRequest(image=saved(picture, "PNG")))
    assert answer.outcomes() == ["RECONSTRUCTED"] * 2
    rolls = [report.pose.roll_degrees for report in answer.summary.faces]
    assert abs(rolls[0]) < 10
    assert abs(rolls[1]) > 170
    meshes = [readers.read(answer.mesh(i), answer.header) for i in range(2)]
    for mesh, face in zip(meshes, answer.header.faces, strict=True):
        centre = to_photo(face, mesh.bounds.mean(axis=0)[None])[0, :2]
        middle = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
        assert np.hypot(*(centre - middle)) < 0.35 * face.box.height
    matrices = [matrix(face) for face in answer.header.faces]
    upright, hanging = (m.volume * t[2, 2] ** 3 for m, t in zip(meshes, matrices, strict=True))
    assert hanging == pytest.approx(upright * (256 / 400) ** 3, rel=0.15)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_given_box_is_taken_as_it_is_and_its_head_upright(
    stub: Stub, sample_photo: bytes, angle: int
) -> None:
    x, y, width, height = FACE
    middle = x + width / 2, y + height / 2
    size = (width, height) if angle % 180 == 0 else (height, width)
    given = boxes((middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size))
    file = io.BytesIO()
    opened(sample_photo).rotate(angle, center=middle).save(file, "PNG")
    answer = ask(stub, pb.ReconstructRequest(image=file.getvalue(), boxes=given))
    assert answer.header.faces[0].box == given[0]
    assert answer.header.faces[0].score == 1
    (report,) = answer.summary.faces
    assert abs((report.pose.roll_degrees - angle + 180) % 360 - 180) < 10
    assert report.confidence > 0.8
