"""Measure surfaces: against a person's outline in a photo, for steps, and for flat cuts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from protome.geometry import PIXELS_PER_CM
from protome.mesh.shape.surface import Surface

# Taubin's filter (1995) as the field uses it: shares of the way to the neighbours' mean, forth and
# back, and rounds. At STANDARD it smooths over 3 mm.
_FORTH, _BACK, _ROUNDS = 0.5, 0.53, 30
_FRONT = 0.6  # share of the vertices, nearest to the camera, that steps are measured on


@dataclass(frozen=True)
class Silhouette:
    """A mesh compared with the mask of a person.

    Attributes:
        iou: of mesh and person.
        outside: share of the mesh outside the person.
        missing: share of the person that the mesh leaves out.
    """

    iou: float
    outside: float
    missing: float


def silhouette(
    points: np.ndarray,
    person: NDArray[np.bool_],
    photo: NDArray[np.uint8],
    vertices: np.ndarray,
    triangles: np.ndarray,
) -> Silhouette:
    """Compare a mesh with a person's mask, in a window around the face and above the chin.

    The line through the chin (landmark 8) at right angles to the way to the bridge of the nose (27)
    bounds the window below.

    Args:
        points: (68, >=2) true landmarks, photo px.
        person: (h, w) mask.
        photo: (h, w, 3); what is outside of its black borders counts.
        vertices: (N, >=2) photo px.
        triangles: (T, 3).
    """
    height, width = person.shape
    mesh = np.zeros((height, width), np.uint8)
    for corners in np.round(vertices[triangles][:, :, :2]).astype(np.int32):
        cv2.fillConvexPoly(mesh, corners, (1,))
    p = np.asarray(points, float)[:, :2]
    up = (p[27] - p[8]) / np.linalg.norm(p[27] - p[8])
    low, high = p.min(0), p.max(0)
    size, middle = np.sqrt(np.prod(high - low)), (low + high) / 2
    y, x = np.mgrid[:height, :width]
    region = (x - p[8, 0]) * up[0] + (y - p[8, 1]) * up[1] > 0
    region &= (abs(x - middle[0]) < 1.05 * size) & (abs(y - middle[1]) < 1.1 * size)
    region &= _shown(photo)
    a, b = (mesh > 0) & region, person & region
    return Silhouette(
        float((a & b).sum() / max((a | b).sum(), 1)),
        float((a & ~b).sum() / max(a.sum(), 1)),
        float((b & ~a).sum() / max(b.sum(), 1)),
    )


def _shown(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (h, w): what is inside of a photo's black borders."""
    bright = photo.max(2) > 8
    rows = np.flatnonzero(bright.mean(1) > 0.02)
    columns = np.flatnonzero(bright.mean(0) > 0.02)
    out = np.zeros(bright.shape, bool)
    if len(rows) and len(columns):
        out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return out


def roughness(surface: Surface) -> tuple[float, float]:
    """Return how far a surface's front is from itself when smoothed, mm: median and 90 %."""
    v = surface.vertices.astype(np.float64)
    a = surface.triangles.ravel()
    b = surface.triangles[:, [1, 2, 0]].ravel()
    edges = sp.csr_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), (len(v), len(v)))
    edges.data[:] = 1
    mean = sp.diags_array(1 / np.maximum(np.diff(edges.indptr), 1)) @ edges
    smooth = v
    for k in range(_ROUNDS):
        away = mean @ smooth - smooth
        smooth = smooth + (-_BACK if k % 2 else _FORTH) * away
    front = v[:, 2] < np.quantile(v[:, 2], _FRONT)
    off = np.linalg.norm(smooth - v, axis=1)[front] * 10 / PIXELS_PER_CM
    return float(np.median(off)), float(np.quantile(off, 0.9))


def flat_area(surface: Surface) -> float:
    """Return the largest area, cm2, that lies in one of a surface's outermost planes.

    The plane below, where the neck ends, is left out.
    """
    v, t = surface.vertices, surface.triangles
    sides = np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]])
    area = np.linalg.norm(sides, axis=1) / 2 / PIXELS_PER_CM**2
    planes = [(0, np.min), (0, np.max), (1, np.min), (2, np.min), (2, np.max)]
    limits = [(axis, end(v[:, axis])) for axis, end in planes]
    return float(max(area[(np.abs(v[:, k] - z) < 0.01)[t].all(1)].sum() for k, z in limits))
