"""Photos reconstructed in this process."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from protome.errors import NoFaceFound
from protome.geometry import Box, Level
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.mesh.shape.simplify import MeshBudget
from protome.model.card import SHIPPED
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome.pipeline.selftest import FACTS, record


@pytest.fixture(scope="module")
def pipeline() -> LocalPipeline:
    return LocalPipeline()


def test_meshes_of_all_levels_in_the_order_of_the_request(
    pipeline: LocalPipeline, sample_photo: bytes
) -> None:
    request = Request(sample_photo, levels=(Level.PREVIEW, Level.STANDARD))
    photo, (face,) = pipeline.reconstruct(request)
    assert (photo.width, len(photo.faces)) == (512, 1)
    assert [mesh.level for mesh in face.meshes] == [Level.PREVIEW, Level.STANDARD]
    assert all(mesh.data.startswith(b"glTF") for mesh in face.meshes)
    assert all(len(mesh.data) == mesh.size for mesh in face.meshes)
    assert face.inference_seconds > 0


def test_the_budget_and_vertex_quality_of_the_request_are_kept(
    pipeline: LocalPipeline, sample_photo: bytes
) -> None:
    request = Request(
        sample_photo,
        levels=(Level.PREVIEW,),
        encoding=Encoding(Format.PLY, Compression.NONE, Appearance.NONE, vertex_quality=True),
        mesh_budget=MeshBudget(max_triangles=2000),
    )
    _, (face,) = pipeline.reconstruct(request)
    assert face.meshes[0].triangles <= 2000
    assert b"property float confidence" in face.meshes[0].data[:1000]
    _, (plain,) = pipeline.reconstruct(replace(request, mesh_budget=MeshBudget()))
    assert plain.meshes[0].triangles > 2000


def test_boxes_of_the_request_replace_detection(
    pipeline: LocalPipeline, sample_photo: bytes
) -> None:
    box = Box(170, 60, 100, 110)
    photo, (face,) = pipeline.reconstruct(Request(sample_photo, boxes=[box]))
    assert photo.faces[0].face.box == box
    assert face.meshes


def test_a_photo_without_a_face_is_refused(pipeline: LocalPipeline) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    with pytest.raises(NoFaceFound):
        pipeline.reconstruct(Request(file.getvalue()))


def test_the_recorded_facts_of_the_shipped_model_are_reproduced() -> None:
    known = json.loads((SHIPPED / FACTS).read_text(encoding="utf-8"))
    measured = record(SHIPPED)
    assert measured["digest"] == known["digest"]
    assert measured["mesh"] == pytest.approx(known["mesh"], rel=0.01)
