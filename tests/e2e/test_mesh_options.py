"""Options of the mesh files: turned heads, textures within limits, facts about the face."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from protome.geometry import F64
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.photos import opened, saved
from tests.support.service import Answer, Stub, ask, matrix, refused

TEXTURE = pb.APPEARANCE_TEXTURE


def _extras(data: bytes) -> dict[str, Any]:
    """The extras of the first node of a GLB."""
    (size,) = struct.unpack_from("<I", data, 12)
    found: dict[str, Any] = json.loads(data[20 : 20 + size])["nodes"][0]["extras"]
    return found


def _to_photo(answer: Answer) -> F64:
    """The vertices of the answer's mesh in the photo, by the matrix of the summary."""
    numbers = answer.summary.faces[0].mesh_to_photo
    to_photo = np.array(numbers).reshape(4, 4, order="F")
    vertices = readers.read(answer.mesh(), answer.header).vertices
    return np.asarray(vertices @ to_photo[:3, :3].T + to_photo[:3, 3], np.float64)


@pytest.fixture(scope="module")
def tilted(sample_photo: bytes) -> bytes:
    """The sample with its head rolled by 50 degrees, small in the frame."""
    picture = opened(sample_photo).rotate(50, Image.Resampling.BICUBIC, fillcolor=(99, 99, 99))
    return saved(picture, "JPEG", quality=95)


@pytest.mark.parametrize("compression", [pb.COMPRESSION_NONE, pb.COMPRESSION_DRACO])
def test_a_glb_tells_what_is_known_of_its_face(
    stub: Stub, sample_photo: bytes, compression: pb.Compression.ValueType
) -> None:
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo, compressions=[compression]))
    face = answer.summary.faces[0]
    extras = _extras(answer.mesh())
    np.testing.assert_allclose(extras["mesh_to_photo"], face.mesh_to_photo, atol=1e-5)
    assert list(face.mesh_to_photo) == list(answer.header.faces[0].mesh_to_photo)
    for name in ("yaw_degrees", "pitch_degrees", "roll_degrees"):
        assert extras["pose"][name] == pytest.approx(getattr(face.pose, name), abs=1e-2)
    assert extras["confidence"] == pytest.approx(face.confidence, abs=1e-3)
    assert extras["concerns"] == []


def test_concerns_are_in_the_file(stub: Stub, sample_photo: bytes) -> None:
    small = saved(opened(sample_photo).resize((140, 140)), "PNG")
    answer = ask(stub, pb.ReconstructRequest(image=small))
    assert answer.summary.faces[0].concerns
    names = [
        pb.Concern.Name(concern).removeprefix("CONCERN_")
        for concern in answer.summary.faces[0].concerns
    ]
    assert _extras(answer.mesh())["concerns"] == names


@pytest.mark.parametrize("photo", ["sample_photo", "tilted"])
def test_a_head_is_turned_to_the_front(
    stub: Stub, photo: str, request: pytest.FixtureRequest
) -> None:
    image = request.getfixturevalue(photo)
    plain = ask(stub, pb.ReconstructRequest(image=image, appearance=TEXTURE))
    front = ask(stub, pb.ReconstructRequest(image=image, appearance=TEXTURE, turn_to_front=True))
    pose = plain.summary.faces[0].pose
    assert front.summary.faces[0].pose == pose
    if photo == "tilted":
        assert abs(pose.roll_degrees) > 35
    # The same points of the photo, through another matrix.
    np.testing.assert_allclose(_to_photo(front), _to_photo(plain), atol=0.05)
    np.testing.assert_allclose(
        _extras(front.mesh())["mesh_to_photo"], front.summary.faces[0].mesh_to_photo, atol=1e-5
    )
    # The eyes are level, and as far in front as each other.
    numbers = np.array(front.summary.faces[0].mesh_to_photo).reshape(4, 4, order="F")
    points = np.array([[p.x, p.y, p.z, 1] for p in front.summary.faces[0].landmarks])
    points = points @ np.linalg.inv(numbers).T
    right, left = points[36:42, :3].mean(axis=0), points[42:48, :3].mean(axis=0)
    across = left - right
    assert across[0] > 0.04
    assert abs(across[1] / across[0]) < 0.06
    assert abs(across[2] / across[0]) < 0.12


def test_a_turned_mesh_keeps_size_and_closedness(stub: Stub, tilted: bytes) -> None:
    plain, front = (
        ask(stub, pb.ReconstructRequest(image=tilted, turn_to_front=turn)) for turn in (False, True)
    )
    one, other = (readers.read(answer.mesh(), answer.header) for answer in (plain, front))
    assert other.is_watertight
    assert other.volume == pytest.approx(one.volume, rel=1e-4)
    assert matrix(front.header.faces[0]) == pytest.approx(matrix(plain.header.faces[0]))


@pytest.mark.parametrize("most", [256, 300])
def test_the_texture_has_a_largest_side(stub: Stub, sample_photo: bytes, most: int) -> None:
    request = pb.ReconstructRequest(image=sample_photo, appearance=TEXTURE, max_texture_side=most)
    with Image.open(io.BytesIO(readers.texture(ask(stub, request).mesh()))) as picture:
        assert max(picture.size) == most


@pytest.mark.parametrize("most", [1, 255, 2049])
def test_sides_of_no_texture_are_invalid(stub: Stub, sample_photo: bytes, most: int) -> None:
    request = pb.ReconstructRequest(image=sample_photo, max_texture_side=most)
    problem = refused(stub, request)
    assert problem.code == grpc.StatusCode.INVALID_ARGUMENT
    assert problem.metadata["field"] == "max_texture_side"


@pytest.mark.parametrize("most", [16_000, 20_000, 40_000, 60_000])
@pytest.mark.parametrize("compression", [pb.COMPRESSION_NONE, pb.COMPRESSION_MESHOPT])
def test_a_budget_of_bytes_includes_the_texture(
    stub: Stub, sample_photo: bytes, compression: pb.Compression.ValueType, most: int
) -> None:
    request = pb.ReconstructRequest(
        image=sample_photo, compressions=[compression], appearance=TEXTURE, max_mesh_bytes=most
    )
    answer = ask(stub, request)
    facts = answer.summary.faces[0].meshes[0]
    assert 0.6 * most < facts.size == len(answer.mesh()) <= most
    with Image.open(io.BytesIO(readers.texture(answer.mesh()))) as picture:
        assert min(picture.size) >= 16
    # Simplification ends up to a few triangles below its least aim, 200.
    assert facts.triangles >= 190
