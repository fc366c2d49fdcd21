"""Read mesh files to draw them, with trimesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from .render import Model3D


class MeshFileError(ValueError):
    """The file cannot be read; the message says why."""


def read_mesh(file: Path) -> Model3D:
    """Read a GLB, PLY, OBJ or STL file, or a zip of an OBJ with its texture.

    Raises:
        MeshFileError: it is none of these, is damaged, or has meshopt compression.
        OSError: there is no such file, or it may not be read.
    """
    data = file.read_bytes()
    if data.startswith(b"glTF") and b"EXT_meshopt_compression" in data:
        raise MeshFileError(f"{file}: meshopt compression cannot be read; use draco or none")
    try:
        scene = trimesh.load_scene(file)
        # Joining loses vertex colours; files of this project have one mesh.
        one = len(scene.geometry) == 1
        model = _model(next(iter(scene.geometry.values())) if one else scene.to_mesh())
    except Exception as error:  # trimesh fails in many ways.
        raise MeshFileError(f"{file} cannot be read as a mesh: {error}") from None
    if not len(model.triangles):
        raise MeshFileError(f"{file} has no triangles")
    return model


def _model(mesh: trimesh.Trimesh) -> Model3D:
    visual: Any = mesh.visual
    uv = picture = colours = None
    if visual.kind == "vertex":
        colours = np.asarray(visual.vertex_colors[:, :3])
    elif visual.kind == "texture":
        # The texture of a GLB, or that of an OBJ.
        image = getattr(visual.material, "baseColorTexture", None)
        image = image or getattr(visual.material, "image", None)
        if image is not None and visual.uv is not None:
            # trimesh has the origin of textures at the bottom left.
            uv = np.asarray(visual.uv * (1, -1) + (0, 1), np.float32)
            picture = np.asarray(image.convert("RGB"))
        # In a GLB, vertex colours are a part of the material, linear, of 8 or 16 bits; those from
        # Draco come as 32 bits.
        linear = visual.vertex_attributes.get("color")
        if linear is not None:
            share = linear[:, :3] / (255 if linear.dtype == np.uint8 else 65535)
            colours = np.asarray(255 * share ** (1 / 2.2), np.uint8)
    positions, triangles = mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)
    normals = np.asarray(mesh.vertex_normals, np.float32)
    return Model3D(positions, normals, triangles, uv, picture, colours)
