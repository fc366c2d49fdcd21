"""GLB files, read by independent readers."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Final

import DracoPy
import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.spatial import cKDTree

from protome.geometry import CROP_SIDE, F64, U8
from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import Compression
from tests.support.readers import Array, Glb, Validator, load
from tests.unit.mesh.meshes import DRACO, EXACT, GLBS, MESHOPT, NONE, glb

QUANTISED: Final = 1e-4
DRACO_UINT16: Final = 4


def linear(colours: U8) -> F64:
    """sRGB to linear light, IEC 61966-2-1."""
    c = colours / 255
    values: F64 = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return values


def distances(cloud: Array, points: Array) -> F64:
    """From each of ``points`` to the nearest of ``cloud``."""
    return np.asarray(cKDTree(cloud).query(points)[0], np.float64)


def assert_same_surface(positions: Array, triangles: Array, mesh: Mesh, tolerance: float) -> None:
    """The triangles' centres are those of ``mesh``, in whatever order."""
    assert len(triangles) == len(mesh.triangles)
    centres = positions[triangles.astype(np.int64)].mean(axis=1)
    expected = mesh.positions[mesh.triangles].mean(axis=1)
    there = distances(expected, centres)
    back = distances(centres, expected)
    assert max(there.max(), back.max()) < tolerance
    a, b, c = (positions[triangles[:, i].astype(np.int64)] for i in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0, "inside out"


@pytest.mark.parametrize("appearance", Appearance)
def test_plain_glb_holds_the_mesh_bit_by_bit(
    meshes: dict[Appearance, Mesh], appearance: Appearance
) -> None:
    mesh = meshes[appearance]
    read = Glb(glb(mesh, NONE, appearance))
    np.testing.assert_array_equal(read.attribute("POSITION"), mesh.positions)
    np.testing.assert_array_equal(read.attribute("NORMAL"), mesh.normals)
    np.testing.assert_array_equal(read.indices(), mesh.triangles)
    assert read.gltf.extensionsRequired == []
    if mesh.uv is not None:
        np.testing.assert_array_equal(read.attribute("TEXCOORD_0"), mesh.uv)


@pytest.mark.parametrize(("compression", "appearance"), GLBS)
def test_a_glb_has_the_attributes_of_its_appearance(
    meshes: dict[Appearance, Mesh], compression: Compression, appearance: Appearance
) -> None:
    read = Glb(glb(meshes[appearance], compression, appearance))
    extra = {
        Appearance.NONE: set(),
        Appearance.VERTEX_COLOURS: {"COLOR_0"},
        Appearance.TEXTURE: {"TEXCOORD_0"},
    }[appearance]
    assert read.names() == {"POSITION", "NORMAL"} | extra
    assert (
        set(read.gltf.extensionsRequired)
        == {
            NONE: set(),
            DRACO: {"KHR_draco_mesh_compression"},
            MESHOPT: {"EXT_meshopt_compression", "KHR_mesh_quantization"},
        }[compression]
    )


@pytest.mark.parametrize("compression", [NONE, MESHOPT])
def test_vertex_colours_are_linear_light(
    meshes: dict[Appearance, Mesh], compression: Compression
) -> None:
    mesh = meshes[Appearance.VERTEX_COLOURS]
    assert mesh.colours is not None
    read = Glb(glb(mesh, compression, Appearance.VERTEX_COLOURS))
    nearest = cKDTree(mesh.positions).query(read.attribute("POSITION"))[1]
    colours = read.attribute("COLOR_0")
    np.testing.assert_allclose(colours[:, :3], linear(mesh.colours[nearest]), atol=1e-4)
    np.testing.assert_array_equal(colours[:, 3], 1)


@pytest.mark.parametrize("appearance", Appearance)
def test_meshopt_decodes_to_the_mesh(
    meshes: dict[Appearance, Mesh], appearance: Appearance
) -> None:
    mesh = meshes[appearance]
    read = Glb(glb(mesh, MESHOPT, appearance))
    positions = read.attribute("POSITION")
    assert len(positions) == len(mesh.positions)
    assert_same_surface(positions, read.indices(), mesh, QUANTISED)
    # Textured vertices lie on top of each other along the seam; their normals are the same.
    nearest = cKDTree(mesh.positions).query(positions)[1]
    np.testing.assert_allclose(positions, mesh.positions[nearest], atol=QUANTISED)
    normals = read.attribute("NORMAL")
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", normals, mesh.normals[nearest]).min() > 0.998


def test_meshopt_keeps_texture_coordinates_with_their_triangles(
    meshes: dict[Appearance, Mesh],
) -> None:
    mesh = meshes[Appearance.TEXTURE]
    assert mesh.uv is not None
    read = Glb(glb(mesh, MESHOPT, Appearance.TEXTURE))

    def corners(positions: Array, uv: Array, triangles: Array) -> Array:
        tri = triangles.astype(np.int64)
        return np.hstack([positions[tri].mean(axis=1) * 10, uv[tri].mean(axis=1)])

    got = corners(read.attribute("POSITION"), read.attribute("TEXCOORD_0"), read.indices())
    expected = corners(mesh.positions, mesh.uv, mesh.triangles)
    assert distances(expected, got).max() < 2e-3


@pytest.mark.parametrize("appearance", Appearance)
def test_draco_decodes_to_the_mesh(meshes: dict[Appearance, Mesh], appearance: Appearance) -> None:
    mesh = meshes[appearance]
    read = Glb(glb(mesh, DRACO, appearance))
    decoded = read.draco()
    assert_same_surface(np.asarray(decoded.points), decoded.faces, mesh, QUANTISED)
    nearest = cKDTree(mesh.positions).query(decoded.points)[1]
    normals = np.asarray(decoded.normals, np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", normals, mesh.normals[nearest]).min() > 0.99
    bounds = read.gltf.accessors[read.primitive.attributes.POSITION]
    np.testing.assert_allclose(decoded.points.min(axis=0), bounds.min, atol=EXACT)
    np.testing.assert_allclose(decoded.points.max(axis=0), bounds.max, atol=EXACT)


def test_draco_keeps_vertex_colours(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.VERTEX_COLOURS]
    assert mesh.colours is not None
    read = Glb(glb(mesh, DRACO, Appearance.VERTEX_COLOURS))
    decoded = read.draco()
    number = read.primitive.extensions["KHR_draco_mesh_compression"]["attributes"]["COLOR_0"]
    (attribute,) = (a for a in decoded.attributes if a["unique_id"] == number)
    colours = attribute["data"]
    assert attribute["data_type"] == DRACO_UINT16
    nearest = cKDTree(mesh.positions).query(decoded.points)[1]
    np.testing.assert_allclose(
        colours[:, :3] / 65535, linear(mesh.colours[nearest]), atol=0.02, rtol=0.05
    )


def test_draco_keeps_texture_coordinates(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.TEXTURE]
    assert mesh.uv is not None
    decoded = Glb(glb(mesh, DRACO, Appearance.TEXTURE)).draco()
    uv = np.asarray(decoded.tex_coord)
    expected = np.c_[mesh.positions * 10, mesh.uv]
    got = np.c_[np.asarray(decoded.points) * 10, uv]
    assert distances(expected, got).max() < 3e-3


@pytest.mark.parametrize("compression", Compression)
def test_the_texture_is_a_jpeg_of_the_picture(
    meshes: dict[Appearance, Mesh], compression: Compression
) -> None:
    mesh = meshes[Appearance.TEXTURE]
    assert mesh.picture is not None
    read = Glb(glb(mesh, compression, Appearance.TEXTURE))
    picture = Pillow.open(io.BytesIO(read.picture()))
    assert picture.format == "JPEG"
    apart = np.abs(np.asarray(picture.convert("RGB")).astype(int) - mesh.picture)
    assert apart[:, : CROP_SIDE - 8].max() < 16
    assert apart.mean() < 3


@pytest.mark.parametrize("appearance", Appearance)
def test_trimesh_reads_the_plain_glb(
    meshes: dict[Appearance, Mesh], appearance: Appearance
) -> None:
    mesh = meshes[appearance]
    read = load(glb(mesh, NONE, appearance), "glb")
    np.testing.assert_allclose(read.vertices, mesh.positions, atol=EXACT)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    assert read.volume > 0


@pytest.mark.parametrize(("compression", "appearance"), GLBS)
def test_khronos_validator_finds_nothing_to_complain(
    meshes: dict[Appearance, Mesh],
    compression: Compression,
    appearance: Appearance,
    validator: Validator,
    tmp_path: Path,
) -> None:
    (report,) = validator.check(tmp_path, [glb(meshes[appearance], compression, appearance)])
    assert report["mimeType"] == "model/gltf-binary"
    issues = report["issues"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def test_the_validator_would_complain(
    meshes: dict[Appearance, Mesh], validator: Validator, tmp_path: Path
) -> None:
    good = glb(meshes[Appearance.NONE], NONE, Appearance.NONE)
    (report,) = validator.check(tmp_path, [good.replace(b'"VEC3"', b'"VEC2"', 1)])
    assert report["issues"]["numErrors"] > 0


@pytest.mark.parametrize(("compression", "appearance"), GLBS)
def test_a_glb_states_its_own_sizes(
    meshes: dict[Appearance, Mesh], compression: Compression, appearance: Appearance
) -> None:
    data = glb(meshes[appearance], compression, appearance)
    magic, version, size, text = struct.unpack_from("<4sIII", data)
    (binary,) = struct.unpack_from("<I", data, 20 + text)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    assert text % 4 == binary % 4 == 0
    assert 28 + text + binary == len(data)


def test_compression_compresses(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.NONE]
    plain, draco, meshopt = (len(glb(mesh, c, Appearance.NONE)) for c in (NONE, DRACO, MESHOPT))
    assert draco < meshopt < plain / 3


def test_draco_quantises_finer_than_a_tenth_of_a_millimetre(
    meshes: dict[Appearance, Mesh],
) -> None:
    mesh = meshes[Appearance.NONE]
    view = Glb(glb(mesh, DRACO, Appearance.NONE))
    decoded = DracoPy.decode(view.view(0))
    assert distances(mesh.positions, decoded.points).max() < QUANTISED
