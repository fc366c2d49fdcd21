"""Give a surface its appearance, in mesh coordinates, ready to be encoded."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from protome.geometry import F32, F64, METRES_PER_PIXEL, U8, U32, Frame, crop_to_mesh
from protome.mesh.shape.surface import Surface

from .painter import painter
from .texture import side_for, texture, vertex_colours
from .vertex_quality import VertexQuality
from .visibility import WHOLE


class Appearance(enum.IntEnum):
    """Kinds of colour; the values are those of protome.v1.Appearance."""

    NONE = 1
    VERTEX_COLOURS = 2
    TEXTURE = 3


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh in mesh coordinates: metres, +X right in the picture, +Y up, +Z to the camera.

    Attributes:
        positions: (n, 3) float32.
        normals: (n, 3) float32, unit, outwards.
        triangles: (m, 3) uint32, counter-clockwise from outside.
        colours: (n, 3) uint8 sRGB, or None.
        uv: (n, 2) float32 with (0, 0) top left, or None.
        picture: (h, w, 3) uint8 sRGB that ``uv`` points into, or None.
        quality: reliability of each vertex, or None.
        surface_vertices: vertices of the surface before any were split along texture seams.
    """

    positions: F32
    normals: F32
    triangles: U32
    colours: U8 | None
    uv: F32 | None
    picture: U8 | None
    quality: VertexQuality | None
    surface_vertices: int


def apply_appearance(
    surface: Surface,
    appearance: Appearance,
    crop: U8,
    frame: Frame = WHOLE,
    quality: VertexQuality | None = None,
    turn: F32 | None = None,
    max_texture_side: int = 0,
) -> Mesh:
    """Transform a surface to mesh coordinates and add colours.

    Args:
        surface: in crop coordinates.
        appearance: kind of colour.
        crop: (s, s, 3) uint8 RGB, the crop the surface was made from, at any resolution.
        frame: the part of the crop that the photo covers.
        quality: reliability of the surface's vertices, if the mesh is to carry it.
        turn: (3, 3) rotation about the origin to apply to the finished mesh, or None.
        max_texture_side: side to which the texture will be reduced if it is larger, pixels; 0: it
            will not be.
    """
    to_mesh = crop_to_mesh(frame.roll)[:3]
    if turn is not None:
        to_mesh = turn @ to_mesh
    n = len(surface.vertices)
    colours, uv, picture = None, None, None
    triangles, source = surface.triangles, np.arange(n, dtype=np.uint32)
    if appearance is Appearance.TEXTURE:
        skin = texture(surface, crop, frame, side_for(len(crop), max_texture_side))
        triangles, uv, picture, source = skin.triangles, skin.uv, skin.picture, skin.source
        quality = None if quality is None else quality.at(source)
    elif appearance is Appearance.VERTEX_COLOURS:
        colours = vertex_colours(surface, crop, frame)
    # The matrix is a rotation, perhaps a reflection, times the length of a pixel.
    to_normals = np.concatenate([to_mesh[:, :3] / METRES_PER_PIXEL, np.zeros((3, 1))], axis=1)
    positions = _moved(surface.vertices, source, to_mesh)
    normals = _moved(surface.normals, source, to_normals)
    return Mesh(positions, normals, triangles, colours, uv, picture, quality, n)


def _moved(rows: F32, which: U32, matrix: F64) -> F32:
    """Return these rows, transformed by a (3, 4) matrix, (k, 3)."""
    moved = painter.move(rows, which, matrix.astype(np.float32))
    return np.frombuffer(moved, np.float32).reshape(-1, 3)
