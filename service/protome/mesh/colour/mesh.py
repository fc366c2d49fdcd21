"""Give a surface its appearance, in mesh coordinates, ready to be encoded."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from protome.geometry import F32, U8, U32, Frame, about_z, crop_to_mesh
from protome.mesh.shape.surface import Surface

from .texture import Texture, side_for, texture, vertex_colours
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
    to_mesh = crop_to_mesh().astype(np.float32)
    positions = surface.vertices @ to_mesh[:3, :3].T
    positions += to_mesh[:3, 3]
    normals = surface.normals @ np.sign(to_mesh[:3, :3])
    if frame.roll:
        # Colours are of the turned crop, the mesh is in the photo's axes.
        upright = about_z(frame.roll)[:3, :3].astype(np.float32).T
        positions, normals = positions @ upright, normals @ upright
    if turn is not None:
        positions, normals = positions @ turn.T, normals @ turn.T
    n = len(positions)
    if appearance is Appearance.TEXTURE:
        skin: Texture = texture(surface, crop, frame, side_for(len(crop), max_texture_side))
        source = skin.source
        return Mesh(
            positions.take(source, axis=0),
            normals.take(source, axis=0),
            skin.triangles,
            None,
            skin.uv,
            skin.picture,
            None if quality is None else quality.at(source),
            n,
        )
    colours = None
    if appearance is Appearance.VERTEX_COLOURS:
        colours = vertex_colours(surface, crop, frame)
    return Mesh(positions, normals, surface.triangles, colours, None, None, quality, n)
