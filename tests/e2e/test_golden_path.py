"""A real photo through the real server gives the right face in the right place."""

from __future__ import annotations

import hashlib
import io

import grpc
import numpy as np
import pytest
import trimesh
from PIL import Image

from protome.embedded import EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.photos import FACE
from tests.support.service import Answer, Stub, ask, boxes, matrix, overlap, to_photo

# Spots on the sample photo, pixels, read off by hand.
NOSE, EYES, CHEEKS = (224, 128), ((202, 107), (241, 107)), ((190, 130), (260, 130))


@pytest.fixture(scope="module")
def answer(server: EmbeddedServer, sample_photo: bytes) -> Answer:
    with grpc.insecure_channel(server.address) as channel:
        return ask(Stub(channel), pb.ReconstructRequest(image=sample_photo))


@pytest.fixture(scope="module")
def mesh(answer: Answer) -> trimesh.Trimesh:
    return readers.read(answer.mesh(), answer.header)


def _depth(answer: Answer, mesh: trimesh.Trimesh, spot: tuple[float, float]) -> float:
    """Depth of the front of the mesh at a spot of the photo, photo pixels towards the camera."""
    points = to_photo(answer.header.faces[0], mesh.vertices)
    near = np.hypot(points[:, 0] - spot[0], points[:, 1] - spot[1]) < 3
    assert near.any()
    return float(points[near, 2].max())


def test_the_one_face_is_found_where_it_is(answer: Answer) -> None:
    (face,) = answer.header.faces
    assert (answer.header.photo_width, answer.header.photo_height) == (512, 512)
    assert (face.index, face.outcome) == (0, pb.FACE_OUTCOME_RECONSTRUCTED)
    assert 0.6 <= face.score <= 1.0
    assert overlap(face.box, boxes(FACE)[0]) > 0.7


def test_events_come_as_header_chunks_summary(answer: Answer) -> None:
    assert answer.events == ["header", *["chunk"] * len(answer.chunks), "summary"]
    assert answer.chunks


def test_chunks_are_few_large_and_numbered(answer: Answer) -> None:
    size = len(answer.mesh())
    assert [chunk.sequence for chunk in answer.chunks] == list(range(len(answer.chunks)))
    assert [len(chunk.data) for chunk in answer.chunks[:-1]] == [512 * 1024] * (size >> 19)
    assert 1 <= len(answer.chunks[-1].data) <= 512 * 1024
    assert [chunk.last for chunk in answer.chunks] == [False] * (len(answer.chunks) - 1) + [True]
    assert [chunk.total_size for chunk in answer.chunks] == [size] + [0] * (len(answer.chunks) - 1)


def test_summary_describes_the_mesh(answer: Answer, mesh: trimesh.Trimesh) -> None:
    (face,) = answer.summary.faces
    (facts,) = face.meshes
    data = answer.mesh()
    assert (face.face_index, face.outcome, face.message) == (0, pb.FACE_OUTCOME_RECONSTRUCTED, "")
    assert facts.sha256 == hashlib.sha256(data).digest()
    assert facts.detail == pb.DETAIL_LEVEL_STANDARD
    assert facts.size == len(data)
    assert facts.triangles == len(mesh.faces)
    assert facts.vertices == len(mesh.vertices)
    assert face.batch_size >= 1


def test_stage_times_fit_into_the_total(answer: Answer) -> None:
    times, face = answer.summary.times, answer.summary.faces[0]
    facts = face.meshes[0]
    worked = [
        times.decode_seconds,
        times.detect_seconds,
        times.crop_seconds,
        face.inference_seconds,
        facts.surface_seconds,
        facts.encode_seconds,
    ]
    assert all(seconds > 0 for seconds in worked)
    assert face.queue_seconds >= 0
    assert facts.appearance_seconds >= 0
    assert sum(worked) + face.queue_seconds + facts.appearance_seconds <= times.total_seconds


def test_landmarks_and_pose_are_there_if_the_network_predicts_them(
    stub: Stub, answer: Answer
) -> None:
    promised = stub.GetServerInfo(pb.GetServerInfoRequest()).has_landmarks
    (face,) = answer.summary.faces
    assert len(face.landmarks) == (68 if promised else 0)
    assert face.HasField("pose") == promised
    box = answer.header.faces[0].box
    for point in face.landmarks:
        assert abs(point.x - box.x - box.width / 2) < box.width
        assert abs(point.y - box.y - box.height / 2) < box.height


def test_header_names_the_shipped_model(answer: Answer) -> None:
    onnx = (SHIPPED / "model.onnx").read_bytes()
    assert answer.header.model.digest == hashlib.sha256(onnx).hexdigest()
    assert answer.header.model.name
    assert answer.header.model.version


def test_mesh_is_one_closed_manifold(mesh: trimesh.Trimesh) -> None:
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    # A head has no handles.
    assert mesh.euler_number == 2


def test_mesh_has_the_size_of_a_head_in_metres(mesh: trimesh.Trimesh) -> None:
    width, height, depth = mesh.extents
    assert 0.13 < width < 0.30
    assert 0.22 < height < 0.40
    assert 0.17 < depth < 0.30
    assert width < height


def test_normals_are_unit_length_and_point_outwards(mesh: trimesh.Trimesh) -> None:
    normals = mesh.vertex_normals
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    outwards = np.einsum("ij,ij->i", normals, mesh.vertices - mesh.centroid)
    assert (outwards > 0).mean() > 0.9


def test_nose_is_the_front_most_point(answer: Answer, mesh: trimesh.Trimesh) -> None:
    face = answer.header.faces[0]
    points = to_photo(face, mesh.vertices)
    # Below the brows: a fringe may stand out further.
    face_only = points[points[:, 1] > face.box.y + 0.4 * face.box.height]
    x, y, _ = face_only[face_only[:, 2].argmax()]
    assert abs(x - NOSE[0]) < 0.15 * face.box.width
    assert abs(y - NOSE[1]) < 0.15 * face.box.height


def test_eyes_and_cheeks_lie_behind_the_nose(answer: Answer, mesh: trimesh.Trimesh) -> None:
    nose = _depth(answer, mesh, NOSE)
    width = answer.header.faces[0].box.width
    for eye in EYES:
        assert nose - _depth(answer, mesh, eye) > 0.04 * width
    for cheek in CHEEKS:
        assert nose - _depth(answer, mesh, cheek) > 0.10 * width


def test_mesh_lands_on_the_face_in_the_photo(answer: Answer, mesh: trimesh.Trimesh) -> None:
    face = answer.header.faces[0]
    points = to_photo(face, mesh.vertices)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    # The mesh is a head with hair and neck, the box a face: it lies inside, in the middle.
    size = np.array([face.box.width, face.box.height])
    assert (high - low < 2.2 * size).all()
    middle = np.array([face.box.x, face.box.y]) + size / 2
    assert (np.abs((low + high) / 2 - middle) < 0.25 * size).all()
    assert low[0] < face.box.x + 5
    assert high[0] > face.box.x + face.box.width - 5
    assert low[1] < face.box.y + 5
    assert high[1] > face.box.y + face.box.height - 5


def test_matrix_keeps_shapes_and_mirrors_y(answer: Answer) -> None:
    m = matrix(answer.header.faces[0])
    scale = m[0, 0]
    assert scale > 0
    assert np.allclose(m[:3, :3], np.diag([scale, -scale, scale]))
    assert np.allclose(m[3], [0, 0, 0, 1])


def test_vertex_colours_are_those_of_the_photo(stub: Stub, sample_photo: bytes) -> None:
    request = pb.ReconstructRequest(
        image=sample_photo,
        formats=[pb.MESH_FORMAT_PLY],
        appearance=pb.APPEARANCE_VERTEX_COLOURS,
    )
    answer = ask(stub, request)
    mesh = readers.read(answer.mesh(), answer.header)
    # Of the face: the neck behind a collar, for example, is not coloured by the photo.
    box = answer.header.faces[0].box
    points = to_photo(answer.header.faces[0], mesh.vertices)[:, :2]
    inside = (points > [box.x, box.y]) & (points < [box.x + box.width, box.y + box.height])
    towards_camera = (mesh.vertex_normals[:, 2] > 0.8) & inside.all(axis=1)
    points = points[towards_camera]
    photo = np.asarray(Image.open(io.BytesIO(sample_photo)).convert("RGB"), np.float64)
    there = photo[points[:, 1].astype(int), points[:, 0].astype(int)]
    colours = readers.colours(mesh)[towards_camera]
    assert np.abs(colours - there).mean() < 12
    # Upside down or mirrored they would not agree.
    assert np.abs(colours - there[::-1]).mean() > 20
