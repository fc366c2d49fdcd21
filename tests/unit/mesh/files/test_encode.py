"""mesh → encoded mesh: every format and compression through independent readers."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image as Pillow

from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import (
    SUFFIXES,
    Compression,
    EncodedMesh,
    Encoding,
    Format,
    choose,
    encode,
)
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
    assert b"millimetres" in data[:80]
    expected = 1000 * mesh.positions[mesh.triangles]
    np.testing.assert_allclose(read.triangles, expected, atol=1000 * EXACT)
    facets = np.frombuffer(data, np.dtype([("n", "<f4", 3), ("rest", "V38")]), offset=84)["n"]
    assert np.einsum("ij,ij->i", facets, read.face_normals).min() > 0.99


def test_a_zip_holds_a_textured_obj(meshes: dict[Appearance, Mesh]) -> None:
    mesh = meshes[Appearance.TEXTURE]
    assert mesh.uv is not None
    encoded = encode(mesh, Encoding(Format.OBJ_ZIP, NONE, Appearance.TEXTURE))
    with zipfile.ZipFile(io.BytesIO(encoded.data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        files = {name: archive.read(name) for name in names}
    assert names == ["face.obj", "face.mtl", "face.jpg"]
    lines = [line.split() for line in files["face.obj"].decode("ascii").splitlines()]
    rows = {kind: np.array([line[1:] for line in lines if line[0] == kind]) for kind in ("v", "vt")}
    positions, uv = rows["v"].astype(float), rows["vt"].astype(float)
    corners = np.array(
        [[part.split("/") for part in line[1:]] for line in lines if line[0] == "f"]
    ).astype(int)
    # Each corner has its place and its spot in the picture; rows of OBJ count from the bottom.
    np.testing.assert_allclose(
        positions[corners[:, :, 0] - 1], mesh.positions[mesh.triangles], atol=1e-6
    )
    np.testing.assert_allclose(uv[corners[:, :, 1] - 1, 0], mesh.uv[mesh.triangles, 0], atol=1e-6)
    np.testing.assert_allclose(
        1 - uv[corners[:, :, 1] - 1, 1], mesh.uv[mesh.triangles, 1], atol=1e-6
    )
    assert len(positions) == len(meshes[Appearance.NONE].positions), "seams split no positions"
    assert ["mtllib", "face.mtl"] in lines
    assert ["usemtl", "skin"] in lines
    assert b"newmtl skin\n" in files["face.mtl"]
    assert b"map_Kd face.jpg\n" in files["face.mtl"]
    read = load(encoded.data, "zip")
    assert isinstance(read.visual, trimesh.visual.TextureVisuals)
    assert read.visual.material.image.size == Pillow.open(io.BytesIO(files["face.jpg"])).size
    assert read.volume > 0


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
        encoded.picture_bytes,
    )


@pytest.mark.parametrize("encoding", [
    Encoding(Format.GLB, DRACO, Appearance.TEXTURE),
    Encoding(Format.GLB, MESHOPT, Appearance.TEXTURE),
    Encoding(Format.PLY, NONE, Appearance.NONE),
    Encoding(Format.OBJ_ZIP, NONE, Appearance.TEXTURE),
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
        ((Format.OBJ_ZIP, Format.OBJ), (), BARE, (Format.OBJ_ZIP, NONE, TEXTURE)),
        ((Format.OBJ_ZIP, Format.PLY), (DRACO,), COLOURS, (Format.OBJ_ZIP, NONE, TEXTURE)),
        ((Format.OBJ_ZIP, Format.GLB), (DRACO,), BARE, (Format.GLB, DRACO, BARE)),
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
