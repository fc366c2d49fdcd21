"""What the client makes of a response."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from protome.client import Face, Pose, Reconstruction
from protome.client.answers import Assembler
from protome.v1 import reconstruction_pb2 as pb

MESH = b"glTF" + bytes(1 << 20)


def answer(report: pb.FaceSummary) -> Reconstruction:
    """The response for a photo with one face and the mesh ``MESH``."""
    face = pb.Face(
        box=pb.BoundingBox(x=10.25, y=20, width=30, height=40.5),
        score=0.875,
        outcome=pb.FACE_OUTCOME_RECONSTRUCTED,
        mesh_to_photo=range(16),
    )
    header = pb.Header(
        photo_width=640, photo_height=480, faces=[face], detail=pb.DETAIL_LEVEL_STANDARD
    )
    chunk = pb.MeshChunk(detail=pb.DETAIL_LEVEL_STANDARD, data=MESH, last=True)
    digest = hashlib.sha256(MESH).digest()
    report.outcome = pb.FACE_OUTCOME_RECONSTRUCTED
    report.meshes.add(detail=pb.DETAIL_LEVEL_STANDARD, sha256=digest, size=len(MESH))
    assembler = Assembler()
    assembler.feed(pb.ReconstructResponse(header=header))
    assembler.feed(pb.ReconstructResponse(chunk=chunk))
    assembler.feed(pb.ReconstructResponse(summary=pb.Summary(faces=[report])))
    return assembler.complete()


def test_a_face_has_what_the_summary_says_of_it() -> None:
    report = pb.FaceSummary(
        landmarks=[pb.Point(x=n, y=2 * n, z=-n) for n in range(68)],
        pose=pb.Pose(yaw_degrees=10, pitch_degrees=-20, roll_degrees=30),
        confidence=0.25,
        concerns=[pb.CONCERN_FEW_PIXELS, pb.CONCERN_LOW_CONFIDENCE],
    )
    (face,) = answer(report).faces
    assert face.mesh == MESH
    assert (face.confidence, face.concerns) == (0.25, ("FEW_PIXELS", "LOW_CONFIDENCE"))
    assert face.landmarks[67] == (67, 134, -67)
    assert len(face.landmarks) == 68
    assert face.landmarks[1].y == 2
    assert face.pose == Pose(yaw=10, pitch=-20, roll=30)
    assert not face.reliable
    # Column-major on the wire, rows here.
    assert np.array_equal(np.array(face.mesh_to_photo), np.arange(16).reshape(4, 4).T)


def test_a_concern_of_a_newer_server_is_its_number() -> None:
    report = pb.FaceSummary()
    report.MergeFromString(bytes([11 << 3 | 2, 2, pb.CONCERN_COVERED, 99]))  # packed
    (face,) = answer(report).faces
    assert face.concerns == ("COVERED", "99")
    assert not face.reliable


def test_what_the_network_does_not_predict_is_none() -> None:
    (face,) = answer(pb.FaceSummary()).faces
    assert (face.landmarks, face.pose, face.confidence, face.concerns) == ((), None, None, ())
    assert face.reliable


@pytest.mark.parametrize("mesh", [b"", MESH])
def test_a_face_without_a_mesh_is_not_reliable(mesh: bytes) -> None:
    assert Face(0, (0, 0, 1, 1), 1.0, "TOO_SMALL", mesh=mesh).reliable is bool(mesh)


def test_representations_are_short() -> None:
    report = pb.FaceSummary(
        landmarks=[pb.Point(x=n) for n in range(68)],
        confidence=0.25,
        concerns=[pb.CONCERN_LOW_CONFIDENCE],
    )
    assert repr(answer(report)) == (
        "<Reconstruction of 640 x 480 px: [<Face 0: RECONSTRUCTED, 30 x 40 px at (10, 20), "
        "confidence 0.25, LOW_CONFIDENCE, mesh of 1048580 bytes>]>"
    )
