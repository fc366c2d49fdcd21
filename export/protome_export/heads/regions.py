"""Say what each vertex of the solid head is, and where hair must not cover it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from protome.mesh.shape.head import Region

from .model import EYE, HEAD, MOUTH_SOCKET, OTHER, Floats, HeadModel
from .solid import SolidHead

SKIN, LIPS, EYEBALL, INNER_MOUTH, NOSTRIL, EAR, SCALP, NECK, BEHIND = Region

# Nostrils: cm around the nose's base, cm across, and cosine between their walls' normals and the
# way across.
_NOSE, _GAP, _FACING = 1.8, 1.0, 0.65

# Relative length of 1 cm of each region in the layout, and what the guard and the neck's end make
# of it: the face gets half of the area.
_IMPORTANCE = np.array([1.9, 2.6, 1.9, 0.7, 0.8, 2.2, 1.0, 0.9], np.float32)
_GUARDED, _END = 0.8, 0.3

# The guard is 1 inside the outline of the face, this far in, and 0 outside of it: cm.
_INSIDE = 1.2
_ABOVE_BROWS = 1.5  # cm from the brows up to the outline
# How far outside of the jaw's landmarks the outline lies, cm: without it, hair that hangs beside a
# face covered the jaw's sides (surface NME 68 .0250 instead of .0235 on the 120 photos). It falls
# to nothing over this many landmarks before the chin, where scarves may close.
_BESIDE, _CHIN, _TOWARDS_CHIN = 1.8, 8, 3
_AXIS = 8.5  # cm: radius of the cylinder on which the outline is drawn


def regions(head: HeadModel, solid: SolidHead, masks: Path | None = None) -> NDArray[np.uint8]:
    """Label the vertices of a solid head.

    Args:
        head: the head model.
        solid: its solid head.
        masks: ``masks.npz`` of ``skins_ict_uv``, for heads with the ICT topology; without it only
            eyes, inner mouth and neck's end are distinguished from skin.

    Returns:
        (N,) labels.
    """
    out = np.full(len(solid.part), SKIN, np.uint8)
    v = solid.vertices(head.neutral)
    if masks is not None:
        source = np.asarray(solid.matrix.argmax(1)).ravel()  # the head's vertex nearest to each
        with np.load(masks) as z:
            inside = {name: _at_vertices(head, z[name], name)[source] > 0.5 for name in z.files}
        ears = inside["ears"]
        middle, top = v[ears, 2].mean(), v[ears, 1].max()
        behind = (v[:, 2] < middle) & (v[:, 1] < top)
        out[behind & (v[:, 1] > v[ears, 1].min())] = EAR  # the masks leave their backs out
        out[inside["neck"] | (behind & (out == SKIN) & (solid.part == HEAD))] = NECK
        out[inside["scalp_face"] | inside["scalp_backhead"]] = SCALP
        out[ears] = EAR
        out[inside["lips"]] = LIPS
        out[_nostrils(v, solid)] = NOSTRIL
    out[solid.part == EYE] = EYEBALL
    out[solid.part == MOUTH_SOCKET] = INNER_MOUTH
    out[solid.part == OTHER] = NECK
    return out


def guard(head: HeadModel, solid: SolidHead, beside: float = _BESIDE) -> Floats:
    """Return (N,) weights of facial skin that hair must never cover.

    They are 1 on eyes, nose, mouth, cheeks and chin, and fall to 0 towards forehead, ears and neck.

    Args:
        head: the head model.
        solid: its solid head.
        beside: how far the outline lies outside of the jaw, at its sides, cm.
    """
    v = solid.vertices(head.neutral)
    points = v[solid.landmarks]
    brows = points[17:27] + np.array([0, _ABOVE_BROWS, 0], np.float32)
    outline = _unrolled(np.concatenate([points[:17], brows[::-1]]))
    outline[:17] += beside * _outwards(outline[:17])
    depth = _depth(_unrolled(v), outline)
    out = np.clip(depth / _INSIDE, 0, 1)
    return np.asarray(out * out * (3 - 2 * out), np.float32)


def importance(solid: SolidHead, region: NDArray[np.uint8], guarded: Floats) -> Floats:
    """Return (N,) by how much lengths are to be magnified in the layout, relative to each other.

    Args:
        solid: the head.
        region: result of `regions`.
        guarded: result of `guard`, with nothing beside the jaw.
    """
    out = _IMPORTANCE[region] + np.float32(_GUARDED) * guarded
    out[solid.part == OTHER] = _END
    return np.asarray(out, np.float32)


def _unrolled(points: np.ndarray) -> np.ndarray:
    """Unroll a cylinder about the head's vertical axis: (N, 2) cm around it and up."""
    return np.stack([np.arctan2(points[:, 0], points[:, 2]) * _AXIS, points[:, 1]], 1)


def _outwards(jaw: np.ndarray) -> np.ndarray:
    """Return the normals (17, 2) of the jaw's line, away from the face; 1 long but near the chin.

    Args:
        jaw: (17, 2) landmarks from the right ear to the left one, unrolled.
    """
    along = np.gradient(jaw, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    share = np.abs(np.arange(len(jaw)) - _CHIN) / _TOWARDS_CHIN
    return np.asarray(normal * np.minimum(share, 1)[:, None])


def _depth(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Return the distance (N,) of points (N, 2) to a polygon (P, 2), positive inside."""
    a, b = outline, np.roll(outline, -1, 0)
    edge, to = b - a, points[:, None] - a
    along = np.clip((to * edge).sum(-1) / np.square(edge).sum(-1), 0, 1)
    distance = np.linalg.norm(to - along[..., None] * edge, axis=-1).min(1)
    x, y = points[:, :1], points[:, 1:]
    crossing = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(edge[:, 1] == 0, 1, edge[:, 1])
    right = x < a[:, 0] + (y - a[:, 1]) * edge[:, 0] / rise
    inside = (crossing & right).sum(1) % 2 == 1
    return np.asarray(np.where(inside, distance, -distance))


def _at_vertices(head: HeadModel, mask: NDArray[np.uint8], name: str) -> Floats:
    """Sample a mask in the head's uv at its vertices, 0 to 1; 0 outside the mask's tile."""
    back = name.endswith("backhead")
    material = head.material_names.index("M_BackHead" if back else "M_Face")
    chosen = head.triangle_material == material
    size = len(mask)
    uv = head.uv[head.triangles_uv[chosen].ravel()] - np.array([back, 0])
    x = np.clip((uv[:, 0] * size).astype(int), 0, size - 1)
    y = np.clip(((1 - uv[:, 1]) * size).astype(int), 0, size - 1)
    out = np.zeros(len(head.neutral), np.float32)
    np.maximum.at(out, head.triangles[chosen].ravel(), mask[y, x] / np.float32(255))
    return out


def _nostrils(v: Floats, solid: SolidHead) -> NDArray[np.bool_]:
    """Find the vertices near the nose's base that face others across a gap, and those enclosed."""
    base = v[solid.landmarks[31:36]]
    near = np.flatnonzero(np.linalg.norm(v[:, None] - base, axis=-1).min(1) < _NOSE)
    normals = _normals(v, solid)[near]
    i, j = cKDTree(v[near]).query_pairs(_GAP, output_type="ndarray").T
    to = v[near][j] - v[near][i]
    to = to / (np.linalg.norm(to, axis=1, keepdims=True) + 1e-9)
    facing = ((normals[i] * to).sum(1) > _FACING) & ((normals[j] * to).sum(1) < -_FACING)
    out = np.zeros(len(v), bool)
    out[near[np.concatenate([i[facing], j[facing]])]] = True
    if not out.any():
        return out
    rest = solid.triangles[~out[solid.triangles].any(1)]
    edges = sp.coo_matrix((np.ones(rest.size), (rest.ravel(), rest[:, [1, 2, 0]].ravel())),
                          (len(v), len(v)))  # fmt: skip
    piece = connected_components(edges)[1]
    out[piece != np.bincount(piece).argmax()] = True
    return out


def _normals(v: Floats, solid: SolidHead) -> Floats:
    a, b, c = (v[solid.triangles[:, k]] for k in range(3))
    out = np.zeros_like(v)
    for k in range(3):
        np.add.at(out, solid.triangles[:, k], np.cross(b - a, c - a))
    return np.asarray(out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-9), np.float32)
