"""The examples of the client's page, run as they are printed there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from protome.client import Client
from protome.embedded import EmbeddedServer
from tests.support.photos import group
from tests.support.tools import installed

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "service" / "protome" / "client" / "README.md"
GRPCURL: Final = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
# As deploy/tools/install builds, so that what it has compiled is used again.
BUILD: Final = {"GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
SECONDS: Final = 1500.0


def blocks(title: str, language: str, server: EmbeddedServer) -> list[str]:
    """The examples of a section, for the address of a server."""
    section = re.split(r"(?m)^## ", PAGE.read_text(encoding="utf-8"))
    (text,) = [part for part in section if part.startswith(title + "\n")]
    found = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)
    assert found, f"{title} has no example in {language}"
    return [block.replace("localhost:50051", server.address) for block in found]


def run(*command: str | Path, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**os.environ, **(env or {})},
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need(*programs: str) -> None:
    """Skip where a program is missing, but never on CI."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        problem = f"{', '.join(missing)} missing"
        if os.environ.get("CI") == "true":
            pytest.fail(problem)
        pytest.skip(problem)


@pytest.fixture
def folder(tmp_path: Path, sample_photo: bytes) -> Path:
    """A folder with what the examples read."""
    (tmp_path / "face.jpg").write_bytes(sample_photo)
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    return tmp_path


def same_mesh(folder: Path, server: EmbeddedServer, sample_photo: bytes) -> bool:
    with Client(server.address) as client:
        mesh = client.reconstruct(sample_photo).faces[0].mesh
    written = (folder / "face_0.glb").read_bytes()
    return hashlib.sha256(written).digest() == hashlib.sha256(mesh).digest()


def test_python(server: EmbeddedServer, folder: Path, sample_photo: bytes) -> None:
    (folder / "holiday").mkdir()
    (folder / "holiday" / "two.jpg").write_bytes(group(sample_photo, (300, 300)))
    (folder / "holiday" / "bad.jpg").write_bytes(b"no photo")
    one, many = blocks("Python", "python", server)
    assert run(sys.executable, "-c", one, folder=folder).startswith("<Face 0: RECONSTRUCTED, ")
    assert b"KHR_draco_mesh_compression" in (folder / "face_0.glb").read_bytes()
    assert run(sys.executable, "-c", many, folder=folder).startswith("bad INVALID_ARGUMENT: ")
    assert sorted(file.name for file in folder.glob("two_*.glb")) == ["two_0.glb", "two_1.glb"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_node(server: EmbeddedServer, folder: Path, sample_photo: bytes) -> None:
    need("node", "npm")
    (folder / "reconstruct.mjs").write_text(*blocks("Node", "js", server))
    (commands,) = blocks("Node", "sh", server)
    printed = run("sh", "-ec", commands, folder=folder)
    assert re.search(r"^face_0\.glb 0\.9\d+ \[\]$", printed, re.MULTILINE)
    assert same_mesh(folder, server, sample_photo)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_go(server: EmbeddedServer, folder: Path, sample_photo: bytes) -> None:
    need("go")
    programs = folder / "bin"
    programs.mkdir()
    protoc = programs / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    (folder / "main.go").write_text(*blocks("Go", "go", server))
    (commands,) = blocks("Go", "sh", server)
    env = {**BUILD, "GOBIN": str(programs), "PATH": f"{programs}:{os.environ['PATH']}"}
    printed = run("sh", "-ec", commands, folder=folder, env=env)
    assert re.search(r"^face_0\.glb 0\.9\d+ \[\]$", printed, re.MULTILINE)
    assert same_mesh(folder, server, sample_photo)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_grpcurl_and_ghz(server: EmbeddedServer, folder: Path, sample_photo: bytes) -> None:
    need("go", "jq")
    ghz = installed().root / "bin"
    run("go", "install", GRPCURL, folder=folder, env={**BUILD, "GOBIN": str(folder)})
    env = {"PATH": f"{folder}:{ghz}:{os.environ['PATH']}"}
    save, look = blocks("grpcurl and ghz", "sh", server)
    run("sh", "-ec", save, folder=folder, env=env)
    assert same_mesh(folder, server, sample_photo)
    printed = run("sh", "-ec", look, folder=folder, env=env)
    assert "rpc Reconstruct ( .protome.v1.ReconstructRequest )" in printed
    assert re.search(r"\[OK\]\s+20 responses", printed)
