"""The picture of a texture: its side and its bytes have limits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from protome.geometry import U8
from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import Encoding, Format, encode
from protome.mesh.files.picture import LEAST_SIDE, write_jpeg
from tests.support.shapes import seeded
from tests.unit.mesh.meshes import NONE


def noise(block: int = 8, width: int = 512, height: int = 256) -> U8:
    coarse = seeded(4).integers(0, 256, (height // block, width // block, 3), dtype=np.uint8)
    return np.asarray(Pillow.fromarray(coarse).resize((width, height)))


def size(data: bytes) -> tuple[int, int]:
    with Pillow.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"
        return picture.size


@pytest.mark.parametrize(
    ("most", "expected"),
    [(0, (512, 256)), (512, (512, 256)), (2048, (512, 256)), (300, (300, 150)), (256, (256, 128))],
)
def test_the_longest_side(most: int, expected: tuple[int, int]) -> None:
    assert size(write_jpeg(noise(), most)) == expected


@pytest.mark.parametrize("most", [20_000, 8_000, 3_000, 1_200])
def test_bytes(most: int) -> None:
    assert len(write_jpeg(noise())) > 20_000
    data = write_jpeg(noise(), max_bytes=most)
    assert len(data) <= most
    assert len(data) > most / 3, "far smaller than asked for"
    assert size(data)[0] / size(data)[1] == pytest.approx(2, rel=0.05)


def test_bytes_out_of_reach() -> None:
    assert size(write_jpeg(noise(), max_bytes=10)) == (LEAST_SIDE, LEAST_SIDE // 2)


def test_a_reduced_picture_shows_the_same() -> None:
    full = Pillow.open(io.BytesIO(write_jpeg(noise(64)))).reduce(4)
    small = Pillow.open(io.BytesIO(write_jpeg(noise(64), 128)))
    assert np.abs(np.asarray(full).astype(int) - np.asarray(small)).mean() < 6


@pytest.mark.parametrize("format_", Format)
def test_an_encoded_mesh_says_how_large_its_picture_is(
    meshes: dict[Appearance, Mesh], format_: Format
) -> None:
    encoding = Encoding(format_, NONE, Appearance.TEXTURE)
    made = encode(meshes[Appearance.TEXTURE], encoding)
    small = encode(meshes[Appearance.TEXTURE], encoding, max_picture_bytes=2000)
    if format_ in (Format.GLB, Format.OBJ_ZIP):
        assert made.picture_bytes > 2000 >= small.picture_bytes > 0
        saved = made.picture_bytes - small.picture_bytes
        assert len(made.data) - len(small.data) == pytest.approx(saved, abs=8)
    else:
        assert made.picture_bytes == small.picture_bytes == 0
        assert made.data == small.data
