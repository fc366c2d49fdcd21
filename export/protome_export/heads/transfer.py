"""Carry displacements of one head mesh over to another, through a correspondence of surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from .model import EYE, FACE, HEAD, Floats, HeadModel, Ints

_ROUNDS = (60.0, 25.0, 10.0)  # smoothing of each round of closest points
_FARTHEST = 1.5  # cm; closest points further away are not believed
_SMOOTH = 6.0  # smoothing of transferred displacements
_AROUND_EYE = 1.7  # cm from an eyeball's centre to the skin that moves it
_NEAREST = 48  # triangles tried for each closest point


def normals(vertices: np.ndarray, triangles: Ints) -> Floats:
    """Return unit vertex normals, (V, 3)."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    out = np.zeros((len(vertices), 3))
    for k in range(3):
        np.add.at(out, triangles[:, k], flat)
    return np.asarray(out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12), np.float32)


def laplacian(count: int, triangles: Ints) -> sp.csr_matrix:
    """Return the graph Laplacian of a mesh, each row divided by its number of neighbours."""
    ends = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    ones = np.ones(len(ends))
    graph = sp.coo_matrix((ones, (ends[:, 0], ends[:, 1])), (count, count)).tocsr()
    graph = sp.csr_matrix(graph + graph.T)
    graph.data[:] = 1
    degree = np.maximum(np.asarray(graph.sum(1)).ravel(), 1)
    return sp.csr_matrix(sp.eye(count) - sp.diags(1 / degree) @ graph)


def closest(
    points: np.ndarray, facing: np.ndarray, vertices: np.ndarray, triangles: Ints
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Find the closest point of a mesh that faces the same way as each point does.

    Args:
        points: (P, 3) positions.
        facing: (P, 3) unit normals of the points.
        vertices: (V, 3).
        triangles: (T, 3).

    Returns:
        triangle (P,), barycentric weights (P, 3), distance (P,); inf where none faces that way.
    """
    corners = vertices[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-12
    count = min(_NEAREST, len(triangles))
    near = cKDTree(corners.mean(1)).query(points, count)[1].reshape(len(points), count)
    weights = _barycentric(points[:, None], corners[near])
    gap = np.linalg.norm((weights[..., None] * corners[near]).sum(2) - points[:, None], axis=-1)
    gap = np.where((flat[near] * facing[:, None]).sum(-1) > 0.2, gap, np.inf)
    best = gap.argmin(1)
    rows = np.arange(len(points))
    return near[rows, best], weights[rows, best].astype(np.float32), gap[rows, best]


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the weights of the closest points of triangles, (..., 3)."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    u, v, w = b - a, c - a, points - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    scale = uu * vv - uv * uv + 1e-12
    s, t = (vv * wu - uv * wv) / scale, (uu * wv - uv * wu) / scale
    inside = np.stack([1 - s - t, s, t], -1)
    found, least = inside, np.where((inside >= 0).all(-1), -1.0, np.inf)
    for k in range(3):  # outside: the closest of the three edges
        p, q = corners[..., k, :], corners[..., (k + 1) % 3, :]
        along = ((points - p) * (q - p)).sum(-1) / (np.square(q - p).sum(-1) + 1e-12)
        along = along.clip(0, 1)[..., None]
        gap = np.linalg.norm(points - p - along * (q - p), axis=-1)
        edge = np.zeros(inside.shape)
        edge[..., k], edge[..., (k + 1) % 3] = 1 - along[..., 0], along[..., 0]
        found = np.where((gap < least)[..., None], edge, found)
        least = np.minimum(least, gap)
    return found


@dataclass(frozen=True)
class Transfer:
    """Carry displacements of a source mesh over to a head model.

    Attributes:
        triangle, weights: (S,), (S, 3) where each skin vertex lies on the source's surface.
        known: (S,) 1 where such a place was found.
        turn: (3, 3) linear map of displacements, source to head.
    """

    head: HeadModel
    triangles: Ints
    triangle: NDArray[np.int64]
    weights: Floats
    known: Floats
    turn: Floats

    def __call__(self, displacements: np.ndarray) -> Floats:
        """Map (K, N, 3) of the source to (K, V, 3) of the head, cm.

        Skin follows the surface, smoothed along it; sockets are the smooth continuation of the
        skin; eyeballs move and grow with the skin around them; teeth, gums and lashes follow
        what is near.
        """
        head, count = self.head, len(self.head.neutral)
        skin = _skin(head)
        at = displacements[:, self.triangles[self.triangle]]
        own = (at * self.weights[..., None]).sum(2) @ self.turn
        wanted = np.zeros((count, len(own) * 3))
        wanted[skin] = own.transpose(1, 0, 2).reshape(len(skin), -1)
        trust = np.full(count, 1e-7)
        trust[skin] = np.maximum(self.known, 1e-7)
        system = sp.diags(trust) + _SMOOTH * laplacian(count, head.triangles)
        solved = splu(system.tocsc()).solve(trust[:, None] * wanted)
        out = np.asarray(solved).reshape(count, -1, 3).transpose(1, 0, 2)
        self._loose_parts(out, skin)
        return out.astype(np.float32)

    def _loose_parts(self, out: np.ndarray, skin: NDArray[np.int64]) -> None:
        head, p = self.head, self.head.neutral
        joined = sp.csgraph.connected_components(
            laplacian(len(p), head.triangles), directed=False, return_labels=True
        )[1]
        loose = np.flatnonzero(~np.isin(joined, np.unique(joined[skin])))
        fixed = np.flatnonzero(np.isin(joined, np.unique(joined[skin])))
        if not len(loose):
            return
        gap, near = cKDTree(p[fixed]).query(p[loose], min(32, len(fixed)))
        share = 1 / (np.asarray(gap) + 0.05) ** 2
        share /= share.sum(1, keepdims=True)
        out[:, loose] = (out[:, fixed[near]] * share[..., None]).sum(2)
        eyes = head.part == EYE
        for side in (p[:, 0] < 0, p[:, 0] >= 0):
            ball = np.flatnonzero(eyes & side)
            if len(ball):
                centre = p[ball].mean(0)
                ring = skin[np.linalg.norm(p[skin] - centre, axis=1) < _AROUND_EYE]
                arm = p[ring] - p[ring].mean(0)
                move = out[:, ring].mean(1)
                grown = ((out[:, ring] - move[:, None]) * arm).sum((1, 2)) / np.square(arm).sum()
                reach = p[ball] - p[ring].mean(0)
                out[:, ball] = move[:, None] + grown[:, None, None] * reach


def _skin(head: HeadModel) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(head.part, (FACE, HEAD)))


def mirrored(pairs: NDArray[np.int64], first: np.ndarray, second: np.ndarray) -> NDArray[np.int64]:
    """Add the mirror images (x to -x) of vertex pairs (P, 2) of two meshes."""
    flip = np.array([-1, 1, 1])
    rows = [cKDTree(m).query(m[pairs[:, k]] * flip)[1] for k, m in enumerate((first, second))]
    other = np.stack(rows, 1)
    return np.concatenate([pairs, other[(other != pairs).all(1)]])


def register(
    head: HeadModel, source: np.ndarray, triangles: Ints, pairs: NDArray[np.int64]
) -> Transfer:
    """Find where each skin vertex of a head lies on a source mesh.

    A thin plate spline through vertex pairs brings the head near, rounds of closest points with
    less and less smoothing the rest of the way.

    Args:
        head: the head model, cm.
        source: (N, 3) cm.
        triangles: (T, 3) of the source.
        pairs: (P, 2) vertices of head and source that correspond.
    """
    skin = _skin(head)
    keep = np.isin(head.part[head.triangles], (FACE, HEAD)).all(1)
    own: Ints = np.searchsorted(skin, head.triangles[keep]).astype(np.int32)
    neutral, want = head.neutral[pairs[:, 0]], source[pairs[:, 1]]
    spline = RBFInterpolator(neutral, want, smoothing=0.05, kernel="thin_plate_spline")
    moved = np.asarray(spline(head.neutral[skin]))
    smooth = laplacian(len(skin), own)
    for strength in _ROUNDS:
        triangle, weights, gap = closest(moved, normals(moved, own), source, triangles)
        place = (source[triangles[triangle]] * weights[..., None]).sum(1)
        known = (gap < _FARTHEST).astype(float)
        step = splu((sp.diags(known + 1e-4) + strength * smooth).tocsc())
        moved = moved + step.solve(known[:, None] * (place - moved))
    triangle, weights, gap = closest(moved, normals(moved, own), source, triangles)
    known = np.exp(-np.square(np.minimum(gap, 9.0) / 0.5)).astype(np.float32)
    centred = neutral - neutral.mean(0), want - want.mean(0)
    u, d, vt = np.linalg.svd(centred[1].T @ centred[0])
    turn = u @ vt * (np.square(centred[0]).sum() / d.sum())
    return Transfer(head, triangles, triangle, weights, known, turn.astype(np.float32))
