"""A budget of triangles or bytes: kept as nearly as possible, and the answer says how nearly."""

from __future__ import annotations

import grpc
import pytest

from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.service import Stub, ask, refused

TEXTURE, MESHOPT = pb.APPEARANCE_TEXTURE, pb.COMPRESSION_MESHOPT


def test_a_budget_of_triangles(stub: Stub, sample_photo: bytes) -> None:
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo, max_triangles=5000))
    facts = answer.summary.faces[0].meshes[0]
    assert 4750 <= facts.triangles <= 5000
    # A crop pixel is 1.6 mm.
    assert 0 < facts.simplification_error_metres < 0.003
    mesh = readers.read(answer.mesh(), answer.header)
    assert len(mesh.faces) == facts.triangles
    assert mesh.is_volume


@pytest.mark.parametrize("compression", [pb.COMPRESSION_NONE, MESHOPT])
def test_a_budget_of_bytes(
    stub: Stub, sample_photo: bytes, compression: pb.Compression.ValueType
) -> None:
    request = pb.ReconstructRequest(
        image=sample_photo, compressions=[compression], appearance=TEXTURE, max_mesh_bytes=100_000
    )
    answer = ask(stub, request)
    facts = answer.summary.faces[0].meshes[0]
    assert 80_000 <= facts.size == len(answer.mesh()) <= 100_000
    assert facts.simplification_error_metres > 0


def test_without_a_budget_nothing_is_simplified(stub: Stub, sample_photo: bytes) -> None:
    facts = ask(stub, pb.ReconstructRequest(image=sample_photo)).summary.faces[0].meshes[0]
    assert facts.simplification_error_metres == 0
    assert facts.triangles > 20_000


def test_bytes_out_of_reach_give_the_smallest_mesh(stub: Stub, sample_photo: bytes) -> None:
    request = pb.ReconstructRequest(image=sample_photo, appearance=TEXTURE, max_mesh_bytes=1024)
    facts = ask(stub, request).summary.faces[0].meshes[0]
    assert facts.triangles <= 200
    assert facts.size > 1024


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("max_triangles", pb.ReconstructRequest(max_triangles=199)),
        ("max_mesh_bytes", pb.ReconstructRequest(max_mesh_bytes=1023)),
    ],
)
def test_budgets_no_head_fits_in_are_invalid(
    stub: Stub, sample_photo: bytes, field: str, request_: pb.ReconstructRequest
) -> None:
    request_.image = sample_photo
    problem = refused(stub, request_)
    assert problem.code == grpc.StatusCode.INVALID_ARGUMENT
    assert problem.metadata["field"] == field
