"""Positions on a grid: the surface stays closed although triangles vanish."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from protome.geometry import F32, U32
from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import Compression, Encoding, Format, encode
from protome.mesh.files.quantise import BITS, quantise
from tests.support.readers import Glb
from tests.unit.mesh.meshes import DRACO, MESHOPT, NONE


def welded(positions: np.ndarray, triangles: np.ndarray) -> trimesh.Trimesh:
    """A mesh of which equal positions are one vertex."""
    mesh = trimesh.Trimesh(positions, triangles.astype(np.int64), process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def bare(positions: F32, triangles: U32) -> Mesh:
    normals = np.tile(np.array([0, 0, 1], np.float32), (len(positions), 1))
    return Mesh(positions, normals, triangles, None, None, None, None, len(positions))


def slivered(gap: float) -> Mesh:
    """A ball of which a few edges are split at the share ``gap`` of their length."""
    ball = trimesh.creation.icosphere(3, 0.1)
    positions, triangles = ball.vertices.tolist(), ball.faces.tolist()
    for a, b in ball.edges_unique[::37].tolist():
        new = len(positions)
        ends = np.array(positions[a]), np.array(positions[b])
        positions.append((ends[0] + gap * (ends[1] - ends[0])).tolist())
        for face in [f for f in triangles if a in f and b in f]:
            triangles.remove(face)
            triangles += [
                [new if v == a else v for v in face],
                [new if v == b else v for v in face],
            ]
    return bare(np.array(positions, np.float32), np.array(triangles, np.uint32))


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-4, 1e-5])
def test_slivers_vanish_and_the_ball_stays_closed(gap: float) -> None:
    mesh = slivered(gap)
    assert welded(mesh.positions, mesh.triangles).is_watertight
    found = quantise(mesh)
    closed = welded(found.positions, found.mesh.triangles)
    assert closed.is_watertight
    assert closed.volume == pytest.approx(4 / 3 * np.pi * 1e-3, rel=0.03)
    assert len(closed.faces) == len(found.mesh.triangles)
    assert all(len(set(face)) == 3 for face in closed.faces.tolist())
    assert (len(found.mesh.triangles) < len(mesh.triangles)) == (gap < 1e-2)
    assert found.mesh.surface_vertices == len(closed.vertices)


def test_more_bits_where_a_surface_would_branch() -> None:
    """Two balls that nearly touch along an edge would share it on a coarse grid."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32) / 8
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.uint32)
    gap = np.array([0, -1e-5, -1e-5], np.float32)
    other = corners * np.array([1, -0.5, -0.5], np.float32) + gap
    mesh = bare(np.concatenate([corners, other]), np.concatenate([faces, faces + 4]))
    found = quantise(mesh)
    assert BITS[0] < found.bits <= BITS[-1]
    assert welded(found.positions, found.mesh.triangles).is_watertight


def test_points_are_the_positions(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.TEXTURE]
    found = quantise(mesh)
    assert found.bits == BITS[0]
    assert found.points.min() == 0
    assert found.points.max() == 2**found.bits - 1
    np.testing.assert_allclose(found.points * found.step + found.low, mesh.positions, atol=4e-5)
    np.testing.assert_allclose(found.positions, mesh.positions, atol=4e-5)


@pytest.mark.parametrize("appearance", Appearance)
@pytest.mark.parametrize("compression", [NONE, DRACO, MESHOPT])
def test_files_are_closed_after_welding(
    meshes: dict[Appearance, Mesh], compression: Compression, appearance: Appearance
) -> None:
    made = encode(meshes[appearance], Encoding(Format.GLB, compression, appearance))
    read = Glb(made.data)
    if compression is DRACO:
        decoded = read.draco()
        positions, triangles = decoded.points, decoded.faces
    else:
        positions, triangles = read.attribute("POSITION"), read.indices()
    assert made.triangles == len(triangles)
    mesh = welded(np.asarray(positions), np.asarray(triangles))
    assert mesh.is_watertight
    assert made.vertices == len(mesh.vertices)


@pytest.mark.parametrize("compression", [DRACO, MESHOPT])
def test_a_file_with_slivers_is_closed(compression: Compression) -> None:
    made = encode(slivered(1e-4), Encoding(Format.GLB, compression, Appearance.NONE))
    read = Glb(made.data)
    if compression is DRACO:
        mesh = welded(read.draco().points, read.draco().faces)
    else:
        mesh = welded(read.attribute("POSITION"), read.indices())
    assert mesh.is_watertight
    assert made.triangles == len(mesh.faces)
