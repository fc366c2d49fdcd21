"""The quality of vertices in files that can carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import Compression, Encoding, Format, encode
from tests.support.readers import Glb, Validator, load
from tests.unit.mesh.meshes import DRACO, GLBS, MESHOPT, NONE, glb


@pytest.mark.parametrize(("compression", "appearance"), GLBS)
def test_a_glb_carries_the_quality_of_each_vertex(
    judged: dict[Appearance, Mesh], compression: Compression, appearance: Appearance
) -> None:
    mesh = judged[appearance]
    assert mesh.quality is not None
    read = Glb(glb(mesh, compression, appearance))
    assert {"_SEEN", "_CONFIDENCE"} <= read.names()
    if compression is DRACO:
        decoded = read.draco()
        positions = np.asarray(decoded.points)
        seen, confidence = (
            read.draco_values(decoded, name)[:, 0] for name in ("_SEEN", "_CONFIDENCE")
        )
    else:
        positions = read.attribute("POSITION")
        seen, confidence = (read.attribute(name)[:, 0] for name in ("_SEEN", "_CONFIDENCE"))
    assert set(np.unique(seen)) == {0.0, 1.0}
    nearest = cKDTree(mesh.positions).query(positions)[1]
    np.testing.assert_array_equal(seen, mesh.quality.seen[nearest])
    step = 1e-6 if compression is NONE else 0.5 / 255 + 1e-6
    np.testing.assert_allclose(confidence, mesh.quality.confidence[nearest], atol=step)


def test_vertex_quality_adds_little_to_a_compressed_mesh(
    meshes: dict[Appearance, Mesh], judged: dict[Appearance, Mesh]
) -> None:
    bare = Appearance.NONE
    for compression in (DRACO, MESHOPT):
        more = len(glb(judged[bare], compression, bare)) - len(glb(meshes[bare], compression, bare))
        assert 0 < more < 3 * len(judged[bare].positions)


@pytest.mark.parametrize(("compression", "appearance"), GLBS)
def test_the_validator_takes_vertex_quality(
    judged: dict[Appearance, Mesh],
    compression: Compression,
    appearance: Appearance,
    validator: Validator,
    tmp_path: Path,
) -> None:
    (report,) = validator.check(tmp_path, [glb(judged[appearance], compression, appearance)])
    issues = report["issues"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def test_trimesh_reads_the_quality_from_glb_and_ply(judged: dict[Appearance, Mesh]) -> None:
    mesh = judged[Appearance.VERTEX_COLOURS]
    assert mesh.quality is not None
    read = load(glb(mesh, NONE, Appearance.VERTEX_COLOURS), "glb").vertex_attributes
    np.testing.assert_array_equal(np.ravel(read["_SEEN"]), mesh.quality.seen)
    np.testing.assert_array_equal(np.ravel(read["_CONFIDENCE"]), mesh.quality.confidence)
    ply = encode(mesh, Encoding(Format.PLY, NONE, Appearance.VERTEX_COLOURS)).data
    rows = load(ply, "ply").metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(rows["seen"].ravel(), mesh.quality.seen)
    np.testing.assert_array_equal(rows["confidence"].ravel(), mesh.quality.confidence)
    assert b"property uchar seen\nproperty float confidence\n" in ply
