"""``protome demo``, ``protome reconstruct`` and ``protome view``, as a user runs them."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from protome.embedded import EmbeddedServer
from tests.support import meshes as readers
from tests.support.photos import group, scenery

from .command import complains, run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, sample_photo: bytes) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "portrait.jpg").write_bytes(sample_photo)
    (folder / "group.jpg").write_bytes(group(sample_photo, (400, 512)))
    (folder / "tiny.jpg").write_bytes(group(sample_photo, (140,)))
    (folder / "broken.jpg").write_bytes(sample_photo[:9000])
    (folder / "scenery.png").write_bytes(scenery())
    return folder


def test_demo_writes_a_face_and_a_picture_and_prints_the_times(tmp_path: Path) -> None:
    done = run("demo", "-o", tmp_path / "new" / "folder")
    assert done.returncode == 0, done.stderr
    mesh = trimesh.load_scene(tmp_path / "new" / "folder" / "face.glb").to_mesh()
    assert 0.1 < mesh.extents.min() < mesh.extents.max() < 0.3
    assert readers.texture((tmp_path / "new" / "folder" / "face.glb").read_bytes())
    with Image.open(tmp_path / "new" / "folder" / "preview.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    # Photo and clay from three sides, then face and texture from three sides.
    assert pixels.shape == (2 * 384, 4 * 384, 3)
    for row in (pixels[:384], pixels[384:]):
        for panel in range(4):
            assert row[:, panel * 384 : (panel + 1) * 384].std() > 20
    for stage in ("decode", "detect", "crop", "queue", "inference", "surface", "encode", "total"):
        assert stage in done.stdout
    assert "face.glb" in done.stdout


def test_reconstruct_writes_what_it_can_and_says_what_it_cannot(
    photos: Path, tmp_path: Path
) -> None:
    names = ("broken.jpg", "portrait.jpg", "missing.jpg", "group.jpg", "scenery.png")
    done = run("reconstruct", *[photos / name for name in names], "-o", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"portrait_0.glb", "group_0.glb", "group_1.glb"}
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    for number, (line, name) in enumerate(zip(lines, names, strict=True), 1):
        assert f"[{number}/5]" in line
        assert name in line
    assert re.fullmatch(
        r"\[2/5\] .*portrait\.jpg: 1 face in \d\.\d\d s: portrait_0\.glb \(confidence 0\.\d\d\)",
        lines[1],
    )
    assert "2 faces in" in lines[3]
    assert "no face" in lines[4]
    assert done.stderr.strip() == "protome: 3 of 5 photos without a mesh"


def test_reconstruct_asks_a_running_server(
    server: EmbeddedServer, photos: Path, tmp_path: Path
) -> None:
    options = ("--detail", "standard", "--format", "ply", "--appearance", "vertex_colours")
    done = run(
        "reconstruct", photos / "group.jpg", "-o", tmp_path, "--address", server.address,
        "--max-faces", 1, "--max-triangles", 5000, "--vertex-quality", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["group_0.ply"]
    assert "face 1 OVER_MAX_FACES" in done.stdout
    mesh = trimesh.load_mesh(tmp_path / "group_0.ply")
    assert mesh.is_watertight
    assert 4000 < len(mesh.faces) <= 5000
    assert b"property uchar seen\n" in (tmp_path / "group_0.ply").read_bytes()


@pytest.mark.parametrize("strict", [False, True])
def test_a_mesh_that_cannot_be_relied_on_fails_only_if_strict(
    server: EmbeddedServer, photos: Path, tmp_path: Path, strict: bool
) -> None:
    names = ("portrait.jpg", "tiny.jpg")
    done = run(
        "reconstruct", *[photos / name for name in names], "-o", tmp_path,
        "--address", server.address, *["--strict"] * strict,
    )  # fmt: skip
    assert re.search(r"tiny_0\.glb \(confidence 0\.\d\d, FEW_PIXELS\)$", done.stdout.strip())
    assert (tmp_path / "tiny_0.glb").exists()
    said = "protome: 1 of 2 photos without a mesh free of concerns\n" if strict else ""
    assert (done.returncode, done.stderr) == (int(strict), said)


def test_previews_are_drawn_beside_the_meshes(
    server: EmbeddedServer, photos: Path, tmp_path: Path
) -> None:
    options = ("--address", server.address, "--preview", "--compression", "draco")
    done = run("reconstruct", photos / "group.jpg", "-o", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    names = {f"group_{face}.{kind}" for face in (0, 1) for kind in ("glb", "png")}
    assert {path.name for path in tmp_path.iterdir()} == names
    for face in (0, 1):
        with Image.open(tmp_path / f"group_{face}.png") as picture:
            assert picture.size == (4 * 384, 2 * 384)
    done = run("view", tmp_path / "group_0.glb", "-o", tmp_path / "view.png")
    assert done.stdout.strip() == f"wrote {tmp_path / 'view.png'}", done.stderr
    with Image.open(tmp_path / "view.png") as picture:
        assert picture.size == (3 * 384, 2 * 384)


def test_what_cannot_be_drawn_is_refused(photos: Path, tmp_path: Path) -> None:
    options = ("--preview", "--compression", "meshopt", "--address", "localhost:1")
    done = run("reconstruct", photos / "group.jpg", "-o", tmp_path / "out", *options)
    assert (done.returncode, "meshopt" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    complains(run("view", photos / "group.jpg"), "group.jpg", "mesh")
    complains(run("view", tmp_path / "missing.glb"), "missing.glb")


def test_photos_of_the_same_name_do_not_overwrite_each_other(
    server: EmbeddedServer, tmp_path: Path, sample_photo: bytes
) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "me.jpg").write_bytes(sample_photo)
    found = [tmp_path / folder / "me.jpg" for folder in ("monday", "tuesday")]
    done = run("reconstruct", *found, "-o", tmp_path / "out", "--address", server.address)
    # Either both meshes are there, or it says that they cannot be.
    assert done.returncode == 1 or len(list((tmp_path / "out").iterdir())) == 2


def test_reconstruct_without_a_server_there_is_a_clear_failure(
    photos: Path, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        done = run("reconstruct", photos / "portrait.jpg", "-o", tmp_path, "--address", address)
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
