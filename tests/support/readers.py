"""Independent readers of what the encoders write."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import DracoPy
import meshopt
import numpy as np
import numpy.typing as npt
import pygltflib
import pytest
import trimesh

from protome.geometry import F64

HERE: Final = Path(__file__).parent.parent / "gltf-validator"
CACHE: Final = Path(__file__).parent.parent / ".cache" / "gltf-validator"

Array = npt.NDArray[Any]
WIDTHS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
TYPES: Final = {5120: np.int8, 5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
# What 1 is as a normalised integer.
FULL: Final = {5120: 127, 5121: 255, 5123: 65535}


@dataclass
class Validator:
    """The Khronos glTF validator under node."""

    modules: Path

    def check(self, folder: Path, glbs: Sequence[bytes]) -> list[dict[str, Any]]:
        """Its report on each asset."""
        files = []
        for number, glb in enumerate(glbs):
            file = folder / f"{number}.glb"
            file.write_bytes(glb)
            files.append(str(file))
        command = ["node", str(HERE / "validate.js"), str(self.modules), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        reports: list[dict[str, Any]] = json.loads(done.stdout)
        return reports


def install_validator() -> Validator:
    """Install it beside the tests, once; skip where there is no node, but never on CI."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # `npm ci` begins by deleting what another process of the tests may use.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = _install()
    if not problem:
        return Validator(CACHE / "node_modules")
    if os.environ.get("CI") == "true":
        pytest.fail(problem)
    pytest.skip(problem)


def _install() -> str:
    """Install the validator if it is not; return what went wrong."""
    wanted = (HERE / "package-lock.json").read_text(encoding="utf-8")
    stamp = CACHE / "installed.json"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return ""
    if not shutil.which("node") or not shutil.which("npm"):
        return "node and npm are missing"
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, CACHE)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        command, cwd=CACHE, capture_output=True, text=True, check=False, timeout=150
    )
    if done.returncode:
        return f"npm ci failed: {done.stderr[-2000:]}"
    stamp.write_text(wanted, encoding="utf-8")
    return ""


class Glb:
    """A GLB read with pygltflib; compressed geometry with the codecs themselves."""

    def __init__(self, data: bytes) -> None:
        self.gltf = pygltflib.GLTF2().load_from_bytes(data)
        self.primitive = self.gltf.meshes[0].primitives[0]
        self.blob: bytes = self.gltf.binary_blob()

    def names(self) -> set[str]:
        """Attributes of the primitive."""
        return {
            name for name, index in vars(self.primitive.attributes).items() if index is not None
        }

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view, decompressed."""
        view = self.gltf.bufferViews[index]
        packed = (view.extensions or {}).get("EXT_meshopt_compression")
        if packed is None:
            start = view.byteOffset or 0
            return self.blob[start : start + view.byteLength]
        start = packed["byteOffset"]
        raw = self.blob[start : start + packed["byteLength"]]
        decoded = meshopt.decode_gltf_buffer(
            raw,
            packed["count"],
            packed["byteStride"],
            packed["mode"],
            packed.get("filter"),
        )
        out: bytes = np.ascontiguousarray(decoded).tobytes()
        assert len(out) == view.byteLength
        return out

    def accessor(self, index: int) -> Array:
        """(count, width) values as stored."""
        accessor = self.gltf.accessors[index]
        width = WIDTHS[accessor.type]
        dtype = np.dtype(TYPES[accessor.componentType])
        stride = self.gltf.bufferViews[accessor.bufferView].byteStride or width * dtype.itemsize
        raw = np.frombuffer(self.view(accessor.bufferView), np.uint8).reshape(-1, stride)
        rows = np.ascontiguousarray(raw[: accessor.count, : width * dtype.itemsize])
        assert len(rows) == accessor.count
        return rows.view(dtype)

    def attribute(self, name: str) -> F64:
        """An attribute as numbers: normalised, and positions through the node's transform."""
        index = getattr(self.primitive.attributes, name)
        accessor = self.gltf.accessors[index]
        values: F64 = self.accessor(index).astype(np.float64)
        if accessor.normalized:
            values /= FULL[accessor.componentType]
        if name == "POSITION":
            np.testing.assert_allclose(values.min(axis=0), accessor.min, rtol=1e-6)
            np.testing.assert_allclose(values.max(axis=0), accessor.max, rtol=1e-6)
            node = self.gltf.nodes[0]
            values = values * (node.scale or [1, 1, 1]) + (node.translation or [0, 0, 0])
        return values

    def indices(self) -> Array:
        """(m, 3) triangles."""
        return self.accessor(self.primitive.indices).reshape(-1, 3)

    def draco(self) -> Any:
        """The decoded Draco mesh and the glTF names of its attributes."""
        extension = self.primitive.extensions["KHR_draco_mesh_compression"]
        decoded = DracoPy.decode(self.view(extension["bufferView"]))
        ids = {a["unique_id"] for a in decoded.attributes}
        assert set(extension["attributes"]) == self.names()
        assert set(extension["attributes"].values()) <= ids
        for name in self.names():
            index = getattr(self.primitive.attributes, name)
            assert self.gltf.accessors[index].count == len(decoded.points)
        assert self.gltf.accessors[self.primitive.indices].count == decoded.faces.size
        return decoded

    def draco_values(self, decoded: Any, name: str) -> F64:
        """(count, width) numbers of an attribute that Draco has no type for."""
        extension = self.primitive.extensions["KHR_draco_mesh_compression"]
        number = extension["attributes"][name]
        (found,) = (a for a in decoded.attributes if a["unique_id"] == number)
        accessor = self.gltf.accessors[getattr(self.primitive.attributes, name)]
        values = np.asarray(found["data"])
        assert values.dtype == TYPES[accessor.componentType]
        assert accessor.normalized
        return np.asarray(values / FULL[accessor.componentType], np.float64)

    def picture(self) -> bytes:
        """The texture's file."""
        return self.view(self.gltf.images[0].bufferView)


def load(data: bytes, kind: str) -> trimesh.Trimesh:
    """Read with trimesh; one mesh, transforms applied."""
    mesh = trimesh.load(io.BytesIO(data), file_type=kind, process=False, force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh
