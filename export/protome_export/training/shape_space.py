"""The shape space: mean head and principal modes of the solid head, in the canonical frame.

Canonical frame: cm, axes as in the crop (x right, y down, z away), origin at the mean of the 68
landmarks; every head is brought there by the similarity that aligns its landmarks, as projected
by its camera, with the mean's. Perspective is therefore part of the modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protome_export.heads.model import MIRROR68, Floats, HeadModel
from protome_export.heads.pose import make_camera, sample_shape
from protome_export.heads.solid import SolidHead, build_solid, mirror_vertices

from .shards import Labels

_FLIP = np.array([1, -1, -1], np.float32)  # head frame to canonical axes


def similarity(points: np.ndarray, canonical: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Fit similarities by SVD (Umeyama 1991): points (B, M, 3) = s R canonical + t.

    Returns:
        R (B, 3, 3), s (B,), t (B, 3).
    """
    t = points.mean(1)
    centre = canonical.mean(0)
    m = (points - t[:, None]).transpose(0, 2, 1) @ (canonical - centre)
    u, d, vt = np.linalg.svd(m.astype(np.float64))
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    d[:, 2] *= sign
    r = u @ vt
    s = d.sum(1) / np.square(canonical - centre).sum()
    t = t - s[:, None] * (r @ centre)
    return r.astype(np.float32), s.astype(np.float32), t.astype(np.float32)


@dataclass(frozen=True)
class ShapeSpace:
    """A linear space of head shapes.

    Attributes:
        mean: (N, 3) cm.
        modes: (K, N, 3) cm at one standard deviation.
        triangles: (T, 3).
        landmarks: (68,) vertex indices.
        mirror: (K, K) takes coefficients to those of the mirrored head.
    """

    mean: Floats
    modes: Floats
    triangles: NDArray[np.int32]
    landmarks: NDArray[np.int32]
    mirror: Floats

    @property
    def canonical68(self) -> Floats:
        return self.mean[self.landmarks]

    def coefficients(self, canonical: np.ndarray) -> Floats:
        """Fit coefficients (B, K) to canonical heads (B, N, 3) by least squares.

        The modes are orthogonal.
        """
        flat = self.modes.reshape(len(self.modes), -1)
        delta = (canonical - self.mean).reshape(len(canonical), -1)
        return np.asarray(delta @ flat.T / np.square(flat).sum(1), np.float32)

    def save(self, path: Path, half: bool = False) -> None:
        """Write .npz; half: float16 (0.01 cm at worst), to keep beside released weights."""
        fields = vars(self)
        if half:
            fields = {
                k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in fields.items()
            }
        np.savez_compressed(path, **fields)

    @classmethod
    def load(cls, path: Path) -> ShapeSpace:
        with np.load(path) as z:
            fields = {k: z[k] for k in z.files}
        return cls(
            **{k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in fields.items()}
        )


class Poser:
    """Compute solid vertices of labelled samples in the crop frame without the full head's."""

    def __init__(self, head: HeadModel, solid: SolidHead | None = None) -> None:
        self.solid = build_solid(head) if solid is None else solid
        rows = np.concatenate([head.neutral[None], head.identity, head.expression])
        bare = self.solid.vertices(rows) - self.solid.offset
        self._basis = bare.reshape(len(rows), -1)

    def head_frame(self, labels: Labels, index: NDArray[np.int64]) -> Floats:
        """Return vertices (B, N, 3) cm, head frame, with the deltas and stretch of each sample."""
        ones = np.ones((len(index), 1), np.float32)
        weights = np.concatenate([ones, labels.identity[index], labels.expression[index]], 1)
        bare = (weights @ self._basis).reshape(len(index), -1, 3)
        return np.asarray(bare * labels.stretch[index][:, None] + self.solid.offset, np.float32)

    def crop_frame(self, labels: Labels, index: NDArray[np.int64]) -> Floats:
        """Return vertices (B, N, 3) px, crop frame; z is 0 at the camera's pivot."""
        heads = self.head_frame(labels, index)
        return np.stack([labels.view(int(i)).project(h) for i, h in zip(index, heads, strict=True)])


def _random_labels(head: HeadModel, poser: Poser, count: int, seed: int) -> Labels:
    rng = np.random.default_rng(seed)
    shapes = [sample_shape(rng, head) for _ in range(count)]
    labels = Labels(
        np.stack([s.identity for s in shapes]),
        np.stack([s.expression for s in shapes]),
        np.stack([s.stretch for s in shapes]),
        np.array([s.angles for s in shapes], np.float32),
        np.zeros((count, 7), np.float32),
        np.zeros((count, 68, 3), np.float32),
    )
    for start in range(0, count, 64):
        index = np.arange(start, min(start + 64, count))
        heads = poser.head_frame(labels, index)
        for i, vertices in zip(index, heads, strict=True):
            camera = make_camera(shapes[i], vertices[poser.solid.landmarks])
            labels.camera[i] = [camera.distance, camera.scale, *camera.origin, *camera.pivot]
            labels.landmarks[i] = camera.project(vertices[poser.solid.landmarks])
    return labels


def build_space(head: HeadModel, modes: int, count: int = 1200, seed: int = 0) -> ShapeSpace:
    """Compute the principal components of `count` random heads as their cameras see them."""
    poser = Poser(head)
    labels = _random_labels(head, poser, count, seed)
    neutral = (poser.solid.vertices(head.neutral) * _FLIP).astype(np.float32)
    centre = neutral[poser.solid.landmarks].mean(0)
    target, mean = neutral[poser.solid.landmarks] - centre, neutral - centre
    mirror = mirror_vertices(mean)
    for _ in range(2):  # the second round aligns with the mean of the first
        heads = canonical_heads(poser, labels, target)
        mean = heads.mean(0)
        mean = (mean + mean[mirror] * [-1, 1, 1]) / 2
        mean = (mean - mean[poser.solid.landmarks].mean(0)).astype(np.float32)
        target = mean[poser.solid.landmarks]
        target = (target + target[MIRROR68] * [-1, 1, 1]) / 2
    # With every head's mirror image the modes come out symmetric or antisymmetric.
    heads = np.concatenate([heads, heads[:, mirror] * np.array([-1, 1, 1], np.float32)])
    count *= 2
    flat = (heads - mean).reshape(count, -1)
    gram = flat @ flat.T
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    order = np.argsort(values)[::-1][: min(modes, count - 1)]
    order = order[values[order] > values[order[0]] * 1e-7]
    basis = (vectors[:, order].T @ flat) / np.sqrt(count)
    basis = basis.reshape(len(order), -1, 3).astype(np.float32)
    twins = basis[:, mirror] * np.array([-1, 1, 1], np.float32)
    b = basis.reshape(len(basis), -1)
    flip = (b / np.square(b).sum(1, keepdims=True)) @ twins.reshape(len(basis), -1).T
    return ShapeSpace(
        mean,
        basis,
        poser.solid.triangles,
        poser.solid.landmarks,
        flip.astype(np.float32),
    )


def canonical_heads(poser: Poser, labels: Labels, canonical68: np.ndarray) -> Floats:
    """Return every labelled head in the canonical frame, (n, N, 3) cm."""
    out = []
    for start in range(0, len(labels.angles), 64):
        index = np.arange(start, min(start + 64, len(labels.angles)))
        crop = poser.crop_frame(labels, index)
        r, s, t = similarity(labels.landmarks[index], canonical68)
        out.append(((crop - t[:, None]) @ r) / s[:, None, None])
    return np.concatenate(out).astype(np.float32)
