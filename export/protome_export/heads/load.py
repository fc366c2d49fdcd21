"""Load head models: ICT-FaceKit from a checkout or packed as .npz, or the procedural tiny head."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .model import (
    EYE,
    EYE_SOCKET,
    FACE,
    GUMS,
    HEAD,
    ICT_VERTICES,
    LASHES,
    MOUTH_SOCKET,
    OTHER,
    TEETH,
    Floats,
    HeadModel,
    Ints,
)
from .tiny import tiny_head

# Vertex ranges of the ICT topology, from the authors' README ("Face Model Topology").
_ICT_PARTS = (
    (0, 9409, FACE),
    (9409, 11248, HEAD),
    (11248, 13294, MOUTH_SOCKET),
    (13294, 14062, EYE_SOCKET),
    (14062, 17039, GUMS),
    (17039, 21451, TEETH),
    (21451, 24591, EYE),
    (24591, 25351, OTHER),
    (25351, 26719, LASHES),
)


def ict_parts(count: int) -> NDArray[np.uint8]:
    """Return the part of each vertex of the ICT topology, (count,).

    Raises:
        ValueError: ``count`` is not the number of vertices of that topology.
    """
    if count != ICT_VERTICES:
        raise ValueError(f"not the ICT light topology: {count} vertices, not {ICT_VERTICES}")
    part = np.empty(count, np.uint8)
    for first, last, label in _ICT_PARTS:
        part[first:last] = label
    return part


def load_head(path: Path | str) -> HeadModel:
    """Load a head model.

    Args:
        path: a packed .npz, an ICT-FaceKit checkout (or its FaceXModel folder), or "tiny".

    Raises:
        OSError: the files cannot be read.
        ValueError: the model does not have the ICT topology.
    """
    if str(path) == "tiny":
        return tiny_head()
    path = Path(path)
    if path.is_dir():
        return read_checkout(path)
    with np.load(path, allow_pickle=False) as z:
        neutral = z["neutral"].astype(np.float32)
        return HeadModel(
            neutral=neutral,
            identity=z["identity_deltas"].astype(np.float32),
            expression=z["expression_deltas"].astype(np.float32),
            expression_names=tuple(str(n) for n in z["expression_names"]),
            triangles=z["triangles"].astype(np.int32),
            triangles_uv=z["triangles_uv"].astype(np.int32),
            uv=z["uv"].astype(np.float32),
            triangle_material=z["triangle_material"].astype(np.uint8),
            material_names=tuple(str(n) for n in z["material_names"]),
            part=z["part"] if "part" in z else ict_parts(len(neutral)),
            landmarks=z["landmarks68"].astype(np.int32),
            people=tuple(str(n) for n in z["people"]) if "people" in z else (),
        )


def pack_head(head: HeadModel, path: Path) -> None:
    """Write a head as .npz, with the deltas as float16 (error below 1e-3 cm)."""
    np.savez_compressed(
        path,
        neutral=head.neutral,
        identity_deltas=head.identity.astype(np.float16),
        expression_deltas=head.expression.astype(np.float16),
        expression_names=np.array(head.expression_names),
        triangles=head.triangles,
        triangles_uv=head.triangles_uv,
        uv=head.uv,
        triangle_material=head.triangle_material,
        material_names=np.array(head.material_names),
        part=head.part,
        landmarks68=head.landmarks,
        people=np.array(head.people, np.str_),
    )


@dataclass(frozen=True)
class _Obj:
    vertices: Floats
    uv: Floats
    triangles: Ints
    triangles_uv: Ints
    material: NDArray[np.uint8]
    material_names: tuple[str, ...]


def _open_obj(folder: Path, stem: str) -> list[str] | None:
    plain, packed = folder / f"{stem}.obj", folder / f"{stem}.obj.gz"
    if plain.exists():
        return plain.read_text().splitlines()
    if packed.exists():
        with gzip.open(packed, "rt") as f:
            return f.read().splitlines()
    return None


def _vertices(lines: list[str]) -> Floats:
    rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
    return np.array(rows, np.float64).astype(np.float32)


def _parse_obj(lines: list[str]) -> _Obj:
    uv = np.array([line.split()[1:3] for line in lines if line.startswith("vt ")], np.float32)
    names: list[str] = []
    corners: list[list[int]] = []
    corners_uv: list[list[int]] = []
    material: list[int] = []
    for line in lines:
        if line.startswith("usemtl "):
            names.append(line.split()[1])
        elif line.startswith("f "):
            pairs = [[int(n) - 1 for n in c.split("/")[:2]] for c in line.split()[1:]]
            for k in range(1, len(pairs) - 1):  # a fan per polygon
                fan = (pairs[0], pairs[k], pairs[k + 1])
                corners.append([c[0] for c in fan])
                corners_uv.append([c[1] for c in fan])
                material.append(len(names) - 1)
    return _Obj(
        _vertices(lines),
        uv,
        np.array(corners, np.int32),
        np.array(corners_uv, np.int32),
        np.array(material, np.uint8),
        tuple(names),
    )


def read_checkout(folder: Path) -> HeadModel:
    """Read the OBJ files and vertex_indices.json of an ICT-FaceKit checkout.

    The authors' sample checkouts are partial: missing identities and expressions are skipped, so
    ``expression_names`` lists those found.

    Raises:
        FileNotFoundError: the neutral mesh is missing.
    """
    if (folder / "FaceXModel").is_dir():
        folder = folder / "FaceXModel"
    lines = _open_obj(folder, "generic_neutral_mesh")
    if lines is None:
        raise FileNotFoundError(f"no generic_neutral_mesh.obj in {folder}")
    neutral = _parse_obj(lines)
    indices = json.loads((folder / "vertex_indices.json").read_text())
    count = len(neutral.vertices)
    landmarks = np.array(indices["idx_to_landmark_verts"], np.int32)

    def deltas(stems: list[str]) -> tuple[Floats, tuple[str, ...]]:
        found: list[Floats] = []
        names: list[str] = []
        for stem in stems:
            rows = _open_obj(folder, stem)
            if rows is not None:
                found.append(_vertices(rows) - neutral.vertices)
                names.append(stem)
        stack = np.stack(found) if found else np.zeros((0, count, 3), np.float32)
        return stack, tuple(names)

    identity, _ = deltas([f"identity{i:03d}" for i in range(100)])
    expression, names = deltas([str(n) for n in indices["expressions"]])
    return HeadModel(
        neutral.vertices,
        identity,
        expression,
        names,
        neutral.triangles,
        neutral.triangles_uv,
        neutral.uv,
        neutral.material,
        neutral.material_names,
        ict_parts(count),
        landmarks,
    )
