"""``pip install protome`` in an environment of its own: small, and it works against a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from protome.embedded import EmbeddedServer

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = {"protome", "grpcio", "protobuf", "googleapis-common-protos", "typing_extensions"}
LARGEST_BYTES: Final = 60e6


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_client_alone_is_small_and_works(
    server: EmbeddedServer, tmp_path: Path, sample_photo: bytes
) -> None:
    source = tmp_path / "source"
    for name in ("service", "export"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("released"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", source], check=True)

    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    installed = {line.partition("==")[0] for line in listing.stdout.split()}
    assert installed - {"pip", "setuptools"} == PACKAGES
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    sizes = {
        file: file.stat().st_size
        for file in site.rglob("*")
        if file.is_file() and file.relative_to(site).parts[0] not in {"pip", "setuptools"}
    }
    assert sum(sizes.values()) < LARGEST_BYTES

    (tmp_path / "face.jpg").write_bytes(sample_photo)
    command: list[str | Path]
    command = [python, "-m", "protome", "reconstruct", tmp_path / "face.jpg", "-o", tmp_path]
    done = subprocess.run([*command, "--address", server.address, "--strict"], check=False)
    assert done.returncode == 0
    assert (tmp_path / "face_0.glb").read_bytes().startswith(b"glTF")
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (alone.returncode, "pip install 'protome[server]'" in alone.stderr) == (1, True)
