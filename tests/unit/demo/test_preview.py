"""Mesh files, and pictures of them beside the photo."""

from __future__ import annotations

import io
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from protome.demo.mesh_file import MeshFileError, read_mesh
from protome.demo.preview import preview, sides
from protome.demo.render import BACKGROUND, render
from protome.demo.view import show
from protome.geometry import CROP_SIDE, U8
from protome.mesh.colour.mesh import Appearance, apply_appearance
from protome.mesh.files.encode import Compression, Encoding, Format, encode
from tests.support.photos import turned
from tests.support.shapes import sphere

# Half of the preview's own, as a picture takes a second to draw.
SIDE = 192
RED, BLUE = (200, 30, 30), (30, 30, 200)
# The share of a picture that a ball fills.
DISC = np.pi / 4 / 1.025**2
BOX = (200.0, 100.0, 100.0, 120.0)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protome.demo.preview.SIDE", SIDE)


def write(
    folder: Path,
    format_: Format = Format.GLB,
    appearance: Appearance = Appearance.TEXTURE,
    compression: Compression = Compression.NONE,
) -> Path:
    """A ball, its left half red and its right half blue."""
    crop = np.empty((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    crop[:, : CROP_SIDE // 2], crop[:, CROP_SIDE // 2 :] = RED, BLUE
    mesh = apply_appearance(sphere(40.0), appearance, crop)
    file = folder / f"ball.{'zip' if format_ is Format.OBJ_ZIP else format_.name.lower()}"
    file.write_bytes(encode(mesh, Encoding(format_, compression, appearance)).data)
    return file


def shares(picture: U8) -> list[float]:
    """How much of each panel, row by row, is not background."""
    rows, columns = picture.shape[0] // SIDE, picture.shape[1] // SIDE
    panels = picture.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2)
    return [float((panel != BACKGROUND).any(axis=2).mean()) for row in panels for panel in row]


@pytest.mark.parametrize(
    ("format_", "appearance", "compression"),
    [
        (Format.GLB, Appearance.TEXTURE, Compression.NONE),
        (Format.GLB, Appearance.TEXTURE, Compression.DRACO),
        (Format.GLB, Appearance.VERTEX_COLOURS, Compression.NONE),
        (Format.GLB, Appearance.VERTEX_COLOURS, Compression.DRACO),
        (Format.PLY, Appearance.VERTEX_COLOURS, Compression.NONE),
        (Format.OBJ, Appearance.VERTEX_COLOURS, Compression.NONE),
        (Format.OBJ_ZIP, Appearance.TEXTURE, Compression.NONE),
    ],
)
def test_a_coloured_mesh_is_read(
    format_: Format, appearance: Appearance, compression: Compression, tmp_path: Path
) -> None:
    model = read_mesh(write(tmp_path, format_, appearance, compression))
    assert model.coloured
    picture = render(model, side=64, coloured=True).astype(int)
    assert np.abs(picture[32, 20] - RED).max() < 25
    assert np.abs(picture[32, 44] - BLUE).max() < 25


@pytest.mark.parametrize("format_", [Format.GLB, Format.PLY, Format.OBJ, Format.STL])
def test_a_mesh_without_colours_is_read(format_: Format, tmp_path: Path) -> None:
    model = read_mesh(write(tmp_path, format_, Appearance.NONE))
    assert not model.coloured
    disc = (render(model, side=64) != BACKGROUND).any(axis=2)
    assert abs(disc.mean() - DISC) < 0.05


def test_a_coloured_mesh_is_drawn_twice_from_three_sides(tmp_path: Path) -> None:
    picture = sides(read_mesh(write(tmp_path)))
    assert picture.shape == (2 * SIDE, 3 * SIDE, 3)
    # A ball is a disc from every side.
    np.testing.assert_allclose(shares(picture), DISC, atol=0.02)
    left, right = picture[SIDE + SIDE // 2, [SIDE // 4, 3 * SIDE // 4]].astype(int)
    assert np.abs(left - RED).max() < 25
    assert np.abs(right - BLUE).max() < 25
    assert np.ptp(picture[:SIDE].astype(int), axis=2).max() < 30, "the first row is of clay"


def test_a_file_that_is_no_mesh_is_refused_with_a_reason(tmp_path: Path) -> None:
    whole = write(tmp_path).read_bytes()
    for name, data, reason in (
        ("text.txt", b"no mesh", "cannot be read as a mesh"),
        ("text.glb", b"no mesh", "cannot be read as a mesh"),
        ("half.glb", whole[: len(whole) // 2], "cannot be read as a mesh"),
        ("empty.stl", bytes(84), "empty.stl"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MeshFileError, match=reason):
            read_mesh(tmp_path / name)
    with pytest.raises(MeshFileError, match="meshopt"):
        read_mesh(write(tmp_path, compression=Compression.MESHOPT))
    with pytest.raises(FileNotFoundError):
        read_mesh(tmp_path / "missing.glb")


def test_the_preview_has_photo_and_face_beside_the_mesh(
    sample_photo: bytes, tmp_path: Path
) -> None:
    photo = np.full((300, 400, 3), 255, np.uint8)
    photo[100:220, 200:300] = (0, 200, 0)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    picture = preview(file.getvalue(), BOX, write(tmp_path))
    assert picture.shape == (2 * SIDE, 4 * SIDE, 3)
    whole, face = picture[:SIDE, :SIDE], picture[SIDE:, :SIDE]
    # 400 x 300 in a square: bars above and below.
    assert (whole[: SIDE // 8 - 2] == 0).all()
    assert (whole[SIDE // 8 + 2 : SIDE // 8 + 20, 20:-20] == 255).all()
    # The face is in the middle of its panel, and fills 100 / 216 of its width.
    assert (face[SIDE // 2, SIDE // 2] == (0, 200, 0)).all()
    green = (face == (0, 200, 0)).all(axis=2)
    assert abs(green[SIDE // 2].sum() - SIDE * 100 / 216) < 4
    # The box is drawn around the face in the photo.
    assert (whole == (230, 90, 40)).all(axis=2).sum() > 300
    # The orientation of the photo is applied, as by the server.
    mesh = write(tmp_path, appearance=Appearance.NONE)
    plain, other = preview(sample_photo, BOX, mesh), preview(turned(sample_photo, 6), BOX, mesh)
    assert np.abs(plain.astype(int) - other).mean() < 1
    assert plain.shape == (SIDE, 4 * SIDE, 3)


def test_the_preview_refuses_what_is_no_photo(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="photo"):
        preview(b"not a photo", BOX, write(tmp_path))


def test_view_writes_a_picture_or_opens_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    mesh = write(tmp_path, Format.STL, Appearance.NONE)
    file = show(mesh, tmp_path / "view.png")
    assert file == tmp_path / "view.png"
    assert not opened
    shown = show(mesh)
    assert opened == [shown.as_uri()]
    assert shown.read_bytes() == file.read_bytes()
    with Image.open(shown) as picture:
        assert picture.size == (3 * SIDE, SIDE)
