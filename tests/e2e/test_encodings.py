"""Every format, compression and appearance, read back by readers that are not ours."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

import grpc
import numpy as np
import pytest
import trimesh
from PIL import Image

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.service import Answer, Stub, ask

FORMATS = ("GLB", "PLY", "OBJ", "STL", "OBJ_ZIP")
COMPRESSIONS = ("NONE", "DRACO", "MESHOPT")
APPEARANCES = ("NONE", "VERTEX_COLOURS", "TEXTURE")
# What the format can carry, so what the header must say and the file must hold.
CARRIED = {
    ("PLY", "TEXTURE"): "VERTEX_COLOURS",
    ("OBJ", "TEXTURE"): "VERTEX_COLOURS",
    ("STL", "TEXTURE"): "NONE",
    ("STL", "VERTEX_COLOURS"): "NONE",
    ("OBJ_ZIP", "NONE"): "TEXTURE",
    ("OBJ_ZIP", "VERTEX_COLOURS"): "TEXTURE",
}


def _ask(
    stub: Stub,
    image: bytes,
    formats: Sequence[str] = (),
    compressions: Sequence[str] = (),
    appearance: str = "UNSPECIFIED",
) -> Answer:
    request = pb.ReconstructRequest(
        image=image,
        formats=[pb.MeshFormat.Value(f"MESH_FORMAT_{name}") for name in formats],
        compressions=[pb.Compression.Value(f"COMPRESSION_{name}") for name in compressions],
        appearance=pb.Appearance.Value(f"APPEARANCE_{appearance}"),
    )
    return ask(stub, request)


def _said(answer: Answer) -> tuple[str, str, str]:
    """Format, compression and appearance by the header."""
    header = answer.header
    return (
        pb.MeshFormat.Name(header.format).removeprefix("MESH_FORMAT_"),
        pb.Compression.Name(header.compression).removeprefix("COMPRESSION_"),
        pb.Appearance.Name(header.appearance).removeprefix("APPEARANCE_"),
    )


@pytest.fixture(scope="module")
def reference(server: EmbeddedServer, sample_photo: bytes) -> trimesh.Trimesh:
    """The sample's mesh at full precision."""
    with grpc.insecure_channel(server.address) as channel:
        answer = _ask(Stub(channel), sample_photo, ["GLB"])
    return readers.read(answer.mesh(), answer.header)


@pytest.mark.parametrize(
    ("format_", "compression", "appearance"),
    [
        (format_, compression, appearance)
        for format_, compression, appearance in itertools.product(
            FORMATS, COMPRESSIONS, APPEARANCES
        )
        if format_ == "GLB" or compression == "NONE"
    ],
)
def test_independent_reader_finds_the_same_surface(
    stub: Stub,
    sample_photo: bytes,
    reference: trimesh.Trimesh,
    format_: str,
    compression: str,
    appearance: str,
) -> None:
    answer = _ask(stub, sample_photo, [format_], [compression], appearance)
    carried = CARRIED.get((format_, appearance), appearance)
    assert _said(answer) == (format_, compression, carried)

    mesh = readers.read(answer.mesh(), answer.header)
    # The codecs quantise to 12 bits, 0.06 mm, and leave out what has no area then; OBJ prints
    # micrometres.
    assert np.allclose(mesh.bounds, reference.bounds, atol=1e-4)
    assert answer.summary.faces[0].meshes[0].triangles == len(mesh.faces)
    lost = 0 if compression == "NONE" else 0.02
    assert len(mesh.faces) == pytest.approx(len(reference.faces), rel=lost)
    assert mesh.volume == pytest.approx(reference.volume, rel=2e-3)
    if carried != "TEXTURE":
        # A texture cuts the vertices of the surface along its seams.
        assert mesh.is_watertight
        assert len(mesh.vertices) == pytest.approx(len(reference.vertices), rel=lost)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("appearance", "extra"),
    [("NONE", set()), ("VERTEX_COLOURS", {"COLOR_0"}), ("TEXTURE", {"TEXCOORD_0"})],
)
def test_glb_has_the_attributes_of_its_appearance(
    stub: Stub, sample_photo: bytes, compression: str, appearance: str, extra: set[str]
) -> None:
    data = _ask(stub, sample_photo, ["GLB"], [compression], appearance).mesh()
    assert readers.attributes(data) == {"POSITION", "NORMAL"} | extra
    picture = readers.texture(data)
    assert bool(picture) == (appearance == "TEXTURE")
    if picture:
        with Image.open(io.BytesIO(picture)) as opened:
            assert min(opened.size) >= 256


@pytest.mark.parametrize("format_", ["PLY", "OBJ"])
def test_plain_formats_carry_skin_colour(stub: Stub, sample_photo: bytes, format_: str) -> None:
    answer = _ask(stub, sample_photo, [format_], appearance="VERTEX_COLOURS")
    mesh = readers.read(answer.mesh(), answer.header)
    front = mesh.vertices[:, 2] > mesh.vertices[:, 2].max() - 0.03
    red, green, blue = np.median(readers.colours(mesh)[front], axis=0)
    assert red > green > blue
    assert red > 120


def test_compressed_meshes_are_much_smaller(stub: Stub, sample_photo: bytes) -> None:
    plain, draco, meshopt = (
        len(_ask(stub, sample_photo, ["GLB"], [name]).mesh()) for name in COMPRESSIONS
    )
    assert draco < plain / 8
    assert meshopt < plain / 4


@pytest.mark.parametrize(
    ("formats", "compressions", "appearance", "chosen"),
    [
        ([], [], "UNSPECIFIED", ("GLB", "NONE", "NONE")),
        (["UNSPECIFIED"], ["UNSPECIFIED"], "TEXTURE", ("GLB", "NONE", "TEXTURE")),
        (["STL", "PLY"], [], "TEXTURE", ("PLY", "NONE", "VERTEX_COLOURS")),
        (["STL", "OBJ", "STL"], [], "NONE", ("OBJ", "NONE", "NONE")),
        (["OBJ", "GLB"], ["DRACO"], "NONE", ("GLB", "DRACO", "NONE")),
        (["GLB"], ["NONE", "DRACO", "MESHOPT"], "NONE", ("GLB", "MESHOPT", "NONE")),
        (["GLB"], ["DRACO", "NONE"], "NONE", ("GLB", "DRACO", "NONE")),
        (["PLY"], ["DRACO", "MESHOPT"], "NONE", ("PLY", "NONE", "NONE")),
        (["PLY", "OBJ_ZIP"], ["DRACO"], "NONE", ("OBJ_ZIP", "NONE", "TEXTURE")),
        (["OBJ_ZIP", "GLB"], [], "NONE", ("GLB", "NONE", "NONE")),
    ],
)
def test_server_picks_the_best_the_client_reads(
    stub: Stub,
    sample_photo: bytes,
    formats: list[str],
    compressions: list[str],
    appearance: str,
    chosen: tuple[str, str, str],
) -> None:
    assert _said(_ask(stub, sample_photo, formats, compressions, appearance)) == chosen
