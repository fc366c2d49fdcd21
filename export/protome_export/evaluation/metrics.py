"""Compute error measures; `surface_nme` is the project's shared convention."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from protome_export.heads.model import Floats


def box_size(points: np.ndarray) -> float:
    """Return sqrt(width * height) of the box of (68, >=2) points."""
    return float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))


def align_depth(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Move vertices (N, 3) along z, the only free parameter, to fit points (68, 3)."""
    v = np.array(vertices, float)
    v[:, 2] += np.median(points[:, 2]) - np.quantile(v[:, 2], 0.8)
    tree = cKDTree(v)
    best, least, centre, span = 0.0, np.inf, 0.0, 120.0
    for _ in range(4):
        for dz in np.linspace(centre - span, centre + span, 25):
            moved = points - [0, 0, dz]
            e = float(np.minimum(tree.query(moved)[0], 60).mean())
            if e < least:
                best, least = float(dz), e
        centre, span = best, span / 8
    v[:, 2] += best
    return v


MOUTH = slice(48, 68)


def surface_errors(points: np.ndarray, vertices: np.ndarray | None) -> Floats:
    """Return the distances of landmarks to a predicted surface, over the box size of the landmarks.

    Args:
        points: (68, 3) photo px, z towards the camera.
        vertices: (N, 3) likewise; None is a failure.

    Returns:
        (68,); 1.0 for a failure.
    """
    if vertices is None or len(vertices) == 0:
        return np.ones(len(points), np.float32)
    distance = np.asarray(cKDTree(align_depth(points, vertices)).query(points)[0])
    return np.asarray(distance / box_size(points))


def surface_nme(points: np.ndarray, vertices: np.ndarray | None) -> tuple[float, float]:
    """Return the means of `surface_errors`: (all 68, inner 51), at most 1.0."""
    errors = surface_errors(points, vertices)
    return min(float(errors.mean()), 1.0), min(float(errors[17:].mean()), 1.0)


def landmark_nme(truth: np.ndarray, found: np.ndarray | None) -> float:
    """Return the mean 2D distance of 68 points over the box size; 1.0 for a failure."""
    if found is None:
        return 1.0
    return min(float(_apart(truth, found).mean()) / box_size(truth), 1.0)


def inner_nme(truth: np.ndarray, found: np.ndarray) -> float:
    """Do the same for the inner 51 points, on whose positions data sets agree."""
    return min(float(_apart(truth, found)[17:].mean()) / box_size(truth), 1.0)


def _apart(truth: np.ndarray, found: np.ndarray) -> Floats:
    return np.asarray(np.linalg.norm(truth[:, :2] - found[:, :2], axis=1))


def balanced(values: np.ndarray, yaw: np.ndarray) -> tuple[Floats, float]:
    """Return the mean per bin of |yaw| (0-30, 30-60, 60-90 degrees), and that of non-empty bins."""
    edges = np.array([0, 30, 60, 91])
    bins = np.digitize(np.abs(yaw), edges) - 1
    rows = [values[bins == k].mean() if (bins == k).any() else np.nan for k in range(3)]
    return np.array(rows, np.float32), float(np.nanmean(rows))


def logistic(x: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Fit P(right) = 1 / (1 + exp(-(offset + slope x))) by Newton's method.

    A weak normal prior keeps the result finite for separable data.

    Args:
        x: (n,).
        right: (n,) bool.

    Returns:
        offset, slope.
    """
    table = np.stack([np.ones(len(x)), np.asarray(x, float)], 1)
    w, prior = np.zeros(2), np.diag([1e-3, 1e-3])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(table @ w).clip(-40, 40)))
        gradient = table.T @ (np.asarray(right, float) - p) - prior @ w
        step = np.linalg.solve(table.T @ (table * (p * (1 - p))[:, None]) + prior, gradient)
        w = w + step
        if np.abs(step).max() < 1e-9:
            break
    return float(w[0]), float(w[1])


def ranking(score: np.ndarray, right: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a right item scores above a wrong one."""
    good, bad = score[right], score[~right]
    if not len(good) or not len(bad):
        return float("nan")
    above = (good[:, None] > bad[None]).mean() + 0.5 * (good[:, None] == bad[None]).mean()
    return float(above)
