"""Levels of detail: the same head, sampled more or less finely."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.service import Answer, Stub, ask

PREVIEW, STANDARD, FINE = pb.DETAIL_LEVEL_PREVIEW, pb.DETAIL_LEVEL_STANDARD, pb.DETAIL_LEVEL_FINE
# 4, 2 and 1 crop pixels at 6.2 pixels a centimetre.
STEP_METRES: dict[int, float] = {PREVIEW: 0.04 / 6.2, STANDARD: 0.02 / 6.2, FINE: 0.01 / 6.2}

Meshes = dict[int, trimesh.Trimesh]


@pytest.fixture(scope="module")
def meshes(server: EmbeddedServer, sample_photo: bytes) -> Meshes:
    made: Meshes = {}
    with grpc.insecure_channel(server.address) as channel:
        for level in (PREVIEW, STANDARD, FINE):
            answer = ask(Stub(channel), pb.ReconstructRequest(image=sample_photo, detail=level))
            assert answer.header.detail == level
            assert answer.summary.faces[0].meshes[0].detail == level
            made[level] = readers.read(answer.mesh(), answer.header)
    return made


def test_each_level_has_about_four_times_the_vertices(meshes: Meshes) -> None:
    preview, standard, fine = (len(meshes[level].vertices) for level in (PREVIEW, STANDARD, FINE))
    assert 2.5 < standard / preview < 6
    assert 2.5 < fine / standard < 6


@pytest.mark.parametrize("level", [PREVIEW, FINE])
def test_levels_have_the_same_extent(meshes: Meshes, level: int) -> None:
    tolerance = max(STEP_METRES[level], STEP_METRES[STANDARD])
    assert np.allclose(meshes[level].bounds, meshes[STANDARD].bounds, atol=tolerance)
    assert meshes[level].volume == pytest.approx(meshes[STANDARD].volume, rel=0.05)


@pytest.mark.parametrize("level", [PREVIEW, STANDARD, FINE])
def test_every_level_is_one_closed_manifold(meshes: Meshes, level: int) -> None:
    assert meshes[level].is_volume
    assert meshes[level].body_count == 1


def test_levels_are_samples_of_one_surface(meshes: Meshes) -> None:
    """A coarser one lies on the finest, but for what its triangles cut off."""
    fine = cKDTree(meshes[FINE].vertices)
    for level in (PREVIEW, STANDARD):
        distance = np.asarray(fine.query(meshes[level].vertices)[0])
        assert np.quantile(distance, 0.9) < STEP_METRES[FINE]
        assert distance.max() < 2 * STEP_METRES[level]


def _with_preview(stub: Stub, photo: bytes, level: pb.DetailLevel.ValueType) -> Answer:
    return ask(stub, pb.ReconstructRequest(image=photo, detail=level, preview_first=True))


def test_preview_comes_before_the_mesh_asked_for(
    stub: Stub, sample_photo: bytes, meshes: Meshes
) -> None:
    answer = _with_preview(stub, sample_photo, STANDARD)
    levels = [chunk.detail for chunk in answer.chunks]
    assert levels == sorted(levels)
    assert set(levels) == {PREVIEW, STANDARD}
    assert answer.header.detail == STANDARD
    assert [facts.detail for facts in answer.summary.faces[0].meshes] == [PREVIEW, STANDARD]
    for level in (PREVIEW, STANDARD):
        firsts = [c for c in answer.chunks if c.detail == level and c.sequence == 0]
        assert [c.total_size for c in firsts] == [len(answer.mesh(detail=level))]
        mesh = readers.read(answer.mesh(detail=level), answer.header)
        assert len(mesh.vertices) == len(meshes[level].vertices)


def test_preview_of_a_preview_is_sent_once(stub: Stub, sample_photo: bytes) -> None:
    answer = _with_preview(stub, sample_photo, PREVIEW)
    assert len(answer.summary.faces[0].meshes) == 1
    assert [chunk.last for chunk in answer.chunks].count(True) == 1
