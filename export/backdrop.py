"""Backgrounds: environment crops and procedural clutter."""

from __future__ import annotations

import cv2
import numpy as np

from .assets import Assets
from .headmodel import Floats
from .noise import NoiseBank
from .pixels import blur, stretch


def _environment(rng: np.random.Generator, panorama: Floats, size: int) -> Floats:
    h, w = panorama.shape[:2]
    span = rng.uniform(0.12, 0.5)
    height = max(8, int(h * span))
    top = int(rng.uniform(0.2, 0.8 - span * 0.6) * h)
    top = min(max(top, 0), h - height)
    width = min(w, height)
    columns = (int(rng.integers(w)) + np.arange(width)) % w
    crop = np.ascontiguousarray(panorama[top : top + height][:, columns])
    out = stretch(crop, size, size, cubic=True).clip(0, 4)
    out = out * rng.uniform(0.4, 1.5)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    return np.ascontiguousarray(out, np.float32)


def _clutter(rng: np.random.Generator, size: int) -> Floats:
    image = np.ones((size, size, 3), np.float32) * rng.random(3).astype(np.float32)
    for _ in range(int(rng.integers(5, 40))):
        spread = size * rng.uniform(0.05, 0.5)
        centre = rng.uniform(0, size, 2)
        points = (centre + rng.normal(0, spread, (int(rng.integers(3, 7)), 2))).astype(np.int32)
        if rng.random() < 0.4:
            cv2.ellipse(
                image, (int(centre[0]), int(centre[1])), (int(spread), int(spread * rng.random())),
                float(rng.uniform(0, 180)), 0, 360, tuple(rng.random(3)), -1,
            )  # fmt: skip
        else:
            cv2.fillPoly(image, [cv2.convexHull(points)], tuple(rng.random(3)))
    if rng.random() < 0.4:
        slant = int(rng.normal() * 40)
        for x in range(0, size, int(rng.integers(8, 50))):
            cv2.line(
                image, (x, 0), (x + slant, size), tuple(rng.random(3)), int(rng.integers(1, 8))
            )
    return image


def sample_backdrop(
    rng: np.random.Generator, assets: Assets, noise: NoiseBank, size: int
) -> Floats:
    """(size, size, 3) linear RGB."""
    t = rng.random()
    if t < 0.45:
        panorama = assets.panoramas[rng.integers(len(assets.panoramas))]
        image = _environment(rng, panorama, size)
        if rng.random() < 0.35:
            grain = stretch(noise.draw(rng, "medium"), size, size) * rng.uniform(0, 0.25)
            image = image * (1 + grain[..., None])
    elif t < 0.55:
        a, b = rng.random(3), rng.random(3)
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0:size, 0:size] / size - 0.5
        w = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
        image = (a * (1 - w) + b * w) ** 2.2
    elif t < 0.72:
        a, b, c = rng.random((3, 3))
        n1 = stretch(noise.draw(rng, "smooth"), size, size)[..., None]
        n2 = stretch(noise.draw(rng, "medium"), size, size)[..., None]
        image = a + np.clip(0.5 + 0.35 * n1, 0, 1) * (b - a) + np.clip(n2 * 0.2, -0.5, 0.5) * c
        image = image.clip(0, 1) ** 2.2
    elif t < 0.82:
        shade = rng.random(3) ** 1.5 if rng.random() < 0.5 else rng.choice([0.0, 0.02, 0.95, 1.0])
        image = np.ones((size, size, 3)) * shade
    else:
        image = _clutter(rng, size) ** 2.2
    image = np.ascontiguousarray(image, np.float32)
    if rng.random() < 0.55:
        image = blur(image, rng.uniform(0.5, 7))
    return image.clip(0)
