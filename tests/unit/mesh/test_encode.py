"""mesh → encoded mesh: every format and compression through independent readers."""

from __future__ import annotations

import hashlib
import io
import struct
from itertools import product
from pathlib import Path
from typing import Final

import DracoPy
import numpy as np
import pytest
import trimesh
from PIL import Image as Pillow
from scipy.spatial import cKDTree

from protome.geometry import CROP_SIDE, F64, U8, Frame, Level
from protome.mesh.encode import SUFFIXES, Compression, EncodedMesh, Encoding, Format, choose, encode
from protome.mesh.mesh import Appearance, Mesh, dress
from protome.mesh.surface import extract
from protome.mesh.vertex_quality import VertexQuality, judge
from tests.support.readers import Array, Glb, Validator, install_validator, load
from tests.support.shapes import sphere_volume

NONE, DRACO, MESHOPT = Compression.NONE, Compression.DRACO, Compression.MESHOPT
GLBS: Final = list(product(Compression, Appearance))
# Sixteen thousandths of a millimetre: below what the formats round to.
EXACT: Final = 1e-6
QUANTISED: Final = 1e-4
DRACO_UINT16: Final = 4


def crop() -> U8:
    """A smooth picture; its colours tell places apart."""
    ramp = np.linspace(20, 230, CROP_SIDE)
    x, y = np.meshgrid(ramp, ramp)
    return np.round(np.stack([x, y, 250 - x], axis=2)).astype(np.uint8)


@pytest.fixture(scope="module")
def meshes() -> dict[Appearance, Mesh]:
    # Lopsided, so that swapped axes show.
    ball = sphere_volume(30.0, (80, 110, 45), Level.PREVIEW)
    surface = extract(np.maximum(ball, sphere_volume(20.0, (120, 80, 60), Level.PREVIEW)))
    return {appearance: dress(surface, appearance, crop()) for appearance in Appearance}


@pytest.fixture(scope="module")
def judged() -> dict[Appearance, Mesh]:
    """The same with the quality of each vertex, of many different values."""
    ball = sphere_volume(30.0, (80, 110, 45), Level.PREVIEW)
    surface = extract(np.maximum(ball, sphere_volume(20.0, (120, 80, 60), Level.PREVIEW)))
    confidence = ((surface.vertices[:, 0] + surface.vertices[:, 1]) / 400).astype(np.float32)
    quality = VertexQuality(judge(surface, Frame()).seen, confidence)
    return {look: dress(surface, look, crop(), quality=quality) for look in Appearance}


@pytest.fixture(scope="session")
def validator() -> Validator:
    return install_validator()


def glb(mesh: Mesh, compression: Compression, appearance: Appearance) -> bytes:
    return encode(mesh, Encoding(Format.GLB, compression, appearance)).data


def linear(colours: U8) -> F64:
    """sRGB to linear light, IEC 61966-2-1."""
    c = colours / 255
    values: F64 = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return values


def distances(cloud: Array, points: Array) -> F64:
    """From each of ``points`` to the nearest of ``cloud``."""
    return np.asarray(cKDTree(cloud).query(points)[0], np.float64)


def colours_read(mesh: trimesh.Trimesh) -> Array:
    """The vertex colours that trimesh found, (n, 3) uint8."""
    assert isinstance(mesh.visual, trimesh.visual.ColorVisuals)
    return np.asarray(mesh.visual.vertex_colors)[:, :3]


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


def test_draco_quantises_finer_than_a_tenth_of_a_millimetre(
    meshes: dict[Appearance, Mesh],
) -> None:
    mesh = meshes[Appearance.NONE]
    view = Glb(glb(mesh, DRACO, Appearance.NONE))
    decoded = DracoPy.decode(view.view(0))
    assert distances(mesh.positions, decoded.points).max() < QUANTISED


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
