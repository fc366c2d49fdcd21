"""mesh → encoded mesh: every format and compression through independent readers."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import trimesh

from protome.mesh.encode import SUFFIXES, Compression, EncodedMesh, Encoding, Format, choose, encode
from protome.mesh.mesh import Appearance, Mesh
from tests.support.readers import Array, load
from tests.unit.mesh.meshes import DRACO, EXACT, MESHOPT, NONE


def colours_read(mesh: trimesh.Trimesh) -> Array:
    """The vertex colours that trimesh found, (n, 3) uint8."""
    assert isinstance(mesh.visual, trimesh.visual.ColorVisuals)
    return np.asarray(mesh.visual.vertex_colors)[:, :3]


@pytest.mark.parametrize("appearance", [Appearance.NONE, Appearance.VERTEX_COLOURS])
def test_ply_holds_positions_normals_and_colours(
    meshes: dict[Appearance, Mesh], appearance: Appearance
) -> None:
    mesh = meshes[appearance]
    data = encode(mesh, Encoding(Format.PLY, NONE, appearance)).data
    read = load(data, "ply")
    np.testing.assert_allclose(read.vertices, mesh.positions, atol=EXACT)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    # trimesh works out normals itself: look at those in the file.
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if mesh.colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    header, body = data.split(b"end_header\n", 1)
    for name, kind in fields:
        assert f"property {'float' if kind == '<f4' else 'uchar'} {name}\n".encode() in header
    rows = np.frombuffer(body, np.dtype(fields), len(mesh.positions))
    normals = np.stack([rows["nx"], rows["ny"], rows["nz"]], axis=1)
    np.testing.assert_array_equal(normals, mesh.normals)
    if mesh.colours is not None:
        np.testing.assert_array_equal(colours_read(read), mesh.colours)


@pytest.mark.parametrize("appearance", [Appearance.NONE, Appearance.VERTEX_COLOURS])
def test_obj_holds_positions_normals_and_colours(
    meshes: dict[Appearance, Mesh], appearance: Appearance
) -> None:
    mesh = meshes[appearance]
    data = encode(mesh, Encoding(Format.OBJ, NONE, appearance)).data
    read = load(data, "obj")
    np.testing.assert_allclose(read.vertices, mesh.positions, atol=EXACT)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    if mesh.colours is not None:
        apart = np.abs(colours_read(read).astype(int) - mesh.colours)
        assert apart.max() <= 1
    lines = [line.split() for line in data.decode("ascii").splitlines()]
    normals = np.array([line[1:] for line in lines if line[0] == "vn"], np.float64)
    np.testing.assert_allclose(normals, mesh.normals, atol=1e-4)
    corners = [corner.split("/") for line in lines if line[0] == "f" for corner in line[1:]]
    assert len(corners) == 3 * len(mesh.triangles)
    assert all(vertex == normal and not uv for vertex, uv, normal in corners)


def test_stl_holds_the_triangles(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.NONE]
    data = encode(mesh, Encoding(Format.STL, NONE, Appearance.NONE)).data
    assert not data.startswith(b"solid"), "readers would take it for text"
    assert len(data) == 84 + 50 * len(mesh.triangles)
    read = load(data, "stl")
    np.testing.assert_allclose(read.triangles, mesh.positions[mesh.triangles], atol=EXACT)
    facets = np.frombuffer(data, np.dtype([("n", "<f4", 3), ("rest", "V38")]), offset=84)["n"]
    assert np.einsum("ij,ij->i", facets, read.face_normals).min() > 0.99


@pytest.mark.parametrize("format_", [Format.PLY, Format.OBJ, Format.STL])
def test_plain_formats_take_a_textured_mesh_too(
    meshes: dict[Appearance, Mesh], format_: Format
) -> None:
    mesh = meshes[Appearance.TEXTURE]
    data = encode(mesh, Encoding(format_, NONE, Appearance.TEXTURE)).data
    read = load(data, SUFFIXES[format_][1:])
    assert len(read.faces) == len(mesh.triangles)
    assert read.volume > 0


@pytest.mark.parametrize("format_", Format)
def test_the_facts_are_those_of_the_file(meshes: dict[Appearance, Mesh], format_: Format) -> None:
    mesh = meshes[Appearance.TEXTURE]
    encoded = encode(mesh, Encoding(format_, NONE, Appearance.TEXTURE))
    assert encoded == EncodedMesh(
        encoded.data,
        hashlib.sha256(encoded.data).digest(),
        len(meshes[Appearance.NONE].positions),
        len(mesh.triangles),
    )


@pytest.mark.parametrize("encoding", [
    Encoding(Format.GLB, DRACO, Appearance.TEXTURE),
    Encoding(Format.GLB, MESHOPT, Appearance.TEXTURE),
    Encoding(Format.PLY, NONE, Appearance.NONE),
])  # fmt: skip
def test_the_same_mesh_gives_the_same_bytes(
    meshes: dict[Appearance, Mesh], encoding: Encoding
) -> None:
    mesh = meshes[encoding.appearance]
    assert encode(mesh, encoding) == encode(mesh, encoding)


TEXTURE, COLOURS, BARE = Appearance.TEXTURE, Appearance.VERTEX_COLOURS, Appearance.NONE


@pytest.mark.parametrize(
    ("formats", "compressions", "wish", "expected"),
    [
        ((), (), TEXTURE, (Format.GLB, NONE, TEXTURE)),
        ((), (), BARE, (Format.GLB, NONE, BARE)),
        ((Format.GLB,), (NONE,), COLOURS, (Format.GLB, NONE, COLOURS)),
        ((Format.STL, Format.OBJ, Format.PLY, Format.GLB), (), BARE, (Format.GLB, NONE, BARE)),
        ((Format.STL, Format.OBJ, Format.PLY), (), BARE, (Format.PLY, NONE, BARE)),
        ((Format.STL, Format.OBJ), (), COLOURS, (Format.OBJ, NONE, COLOURS)),
        ((Format.GLB,), (NONE, DRACO), TEXTURE, (Format.GLB, DRACO, TEXTURE)),
        ((), (DRACO, MESHOPT), TEXTURE, (Format.GLB, MESHOPT, TEXTURE)),
        ((), (MESHOPT, NONE, DRACO), TEXTURE, (Format.GLB, MESHOPT, TEXTURE)),
        ((Format.PLY,), (DRACO, MESHOPT), COLOURS, (Format.PLY, NONE, COLOURS)),
        ((Format.PLY,), (), TEXTURE, (Format.PLY, NONE, COLOURS)),
        ((Format.OBJ,), (), TEXTURE, (Format.OBJ, NONE, COLOURS)),
        ((Format.STL,), (), TEXTURE, (Format.STL, NONE, BARE)),
        ((Format.STL,), (), COLOURS, (Format.STL, NONE, BARE)),
    ],
)
def test_the_best_that_the_client_reads_is_chosen(
    formats: tuple[Format, ...],
    compressions: tuple[Compression, ...],
    wish: Appearance,
    expected: tuple[Format, Compression, Appearance],
) -> None:
    assert choose(formats, compressions, wish) == Encoding(*expected)
    assert choose(set(formats), set(compressions), wish) == Encoding(*expected)


def test_every_format_has_a_suffix() -> None:
    assert set(SUFFIXES) == set(Format)
