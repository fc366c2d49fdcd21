"""Arrange the head model for rendering: kinds of surface, texture coordinates, occlusion."""

from __future__ import annotations

import numpy as np

from protome_export.heads.model import (
    EYE,
    EYE_SOCKET,
    FACE,
    GUMS,
    HEAD,
    LASHES,
    MOUTH_SOCKET,
    OTHER,
    TEETH,
    Floats,
    HeadModel,
)
from protome_export.render.drawing.raster import depth_map, vertex_normals

# Kinds of surface, one per triangle.
SKIN, BACK_SKIN, FLESH, TOOTH, EYEBALL, SOCKET, LASH, HAIR, FRAME = range(9)

_AO_DIRECTIONS = 72
_AO_SIZE = 224


class RenderHead:
    """The head model as the renderer needs it.

    Attributes:
        triangles: (T, 3).
        kind: (T,) kind of surface.
        uv: (T, 3, 2) per corner.
        ao: (V,) ambient occlusion.
    """

    def __init__(self, head: HeadModel) -> None:
        part = head.part[head.triangles]
        kind = np.full(len(head.triangles), -1, np.int64)
        outer = np.isin(part, (FACE, HEAD)).all(1)
        kind[outer] = np.where(head.triangle_material[outer] == 0, SKIN, BACK_SKIN)
        for label, surface in (
            (MOUTH_SOCKET, FLESH),
            (EYE_SOCKET, SOCKET),
            (GUMS, FLESH),
            (TEETH, TOOTH),
            (EYE, EYEBALL),
            (LASHES, LASH),
        ):
            kind[(part == label).any(1)] = surface
        kind[(part == OTHER).any(1)] = -1
        keep = kind >= 0
        self.triangles = head.triangles[keep].astype(np.int32)
        self.kind = kind[keep]
        self.uv = head.uv[head.triangles_uv[keep]].copy()
        self.uv[self.kind == BACK_SKIN, :, 0] -= 1
        self._eye_coordinates(head)
        self.ao = self._ambient_occlusion(head.neutral)

    def _eye_coordinates(self, head: HeadModel) -> None:
        """Give eyeballs uv in cm from the pupil, and a large value where they face backwards."""
        for side in (-1, 1):
            vertex = (head.part == EYE) & (np.sign(head.neutral[:, 0]) == side)
            mine = (self.kind == EYEBALL) & vertex[self.triangles].all(1)
            if not mine.any():
                continue
            points = head.neutral[vertex]
            pupil = points[points[:, 2] > points[:, 2].max() - 0.12].mean(0)
            corners = head.neutral[self.triangles[mine]]
            behind = corners[..., 2:] < (points[:, 2].min() + points[:, 2].max()) / 2
            self.uv[mine] = np.where(behind, 2.0, corners[..., :2] - pupil[:2])

    def _ambient_occlusion(self, neutral: Floats) -> Floats:
        normals = vertex_normals(neutral, self.triangles)
        rng = np.random.default_rng(1)
        seen, total = np.zeros(len(neutral)), np.zeros(len(neutral))
        for _ in range(_AO_DIRECTIONS):
            d = rng.standard_normal(3)
            d /= np.linalg.norm(d)
            u = np.cross(d, [0, 1, 0.01])
            u /= np.linalg.norm(u)
            v = np.cross(d, u)
            half = _AO_SIZE / 2
            p = np.stack([neutral @ u * 6 + half, neutral @ v * 6 + half, neutral @ d], 1)
            depth = depth_map(p.astype(np.float32), self.triangles, _AO_SIZE)
            x, y = (np.clip(p[:, k].astype(int), 0, _AO_SIZE - 1) for k in (0, 1))
            cosine = np.clip(normals @ d, 0, None)
            seen += cosine * (p[:, 2] > depth[y, x] - 0.35)
            total += cosine
        return (seen / np.maximum(total, 1e-6)).clip(0.05, 1).astype(np.float32)
