"""Things in front of the face: hands, objects, loose strands of hair."""

from __future__ import annotations

import cv2
import numpy as np

from .assets import to_linear
from .headmodel import Floats
from .pixels import blur


def _stamp(image: Floats, mask: Floats, colour: np.ndarray, light: float) -> None:
    """Blends a colour through a soft mask, shaded from one side so that it looks solid."""
    soft = blur(mask, 4)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * np.cos(light)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1) * np.sin(light)
    relief = np.clip(1 + 1.2 * (dx + dy), 0.3, 1.7)[..., None]
    image += (colour * relief - image) * mask[..., None]


def draw_hand(rng: np.random.Generator, image: Floats, skin: Floats) -> None:
    """A hand of capsule fingers and a palm, reaching in from a random side of the crop."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    inward = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-inward[1], inward[0]])
    tip = size / 2 + rng.normal(0, 0.14, 2) * size - inward * size * rng.uniform(0.05, 0.3)
    thick = size * rng.uniform(0.045, 0.075)
    length = size * rng.uniform(0.2, 0.32)
    knuckle = tip - inward * length
    for k in range(int(rng.integers(1, 5))):
        shift = side * thick * 1.15 * (k - 1.5)
        end = tip + shift - inward * thick * rng.uniform(0, 1.2) + rng.normal(0, 2, 2)
        a, b = (knuckle + shift * 0.9).astype(int).tolist(), end.astype(int).tolist()
        cv2.line(mask, a, b, (1.0,), int(thick), cv2.LINE_AA)
    palm = knuckle - inward * length * 0.8
    cv2.line(mask, knuckle.astype(int).tolist(), palm.astype(int).tolist(), (1.0,),
             int(thick * 4.2), cv2.LINE_AA)  # fmt: skip
    mask = blur(mask, 0.7)
    tone = skin * rng.uniform(0.35, 0.9)
    _stamp(image, mask, tone, rng.uniform(0, 2 * np.pi))


def draw_object(rng: np.random.Generator, image: Floats) -> None:
    """An ellipse, a bar (microphone, pole) or a convex patch in a random colour."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    x, y = (int(v) for v in rng.integers(size // 10, size - size // 10, 2))
    t = rng.random()
    if t < 0.35:
        axes = (int(rng.uniform(0.03, 0.16) * size), int(rng.uniform(0.03, 0.22) * size))
        cv2.ellipse(mask, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, (1.0,), -1)
    elif t < 0.65:
        end = (int(x + rng.normal(0, size)), int(y + rng.normal(0, size)))
        cv2.line(mask, (x, y), end, (1.0,), int(rng.uniform(0.02, 0.12) * size), cv2.LINE_AA)
    else:
        points = np.array([x, y]) + rng.normal(0, size * 0.12, (5, 2))
        cv2.fillPoly(mask, [cv2.convexHull(points.astype(np.int32))], (1.0,))
    mask = blur(mask, rng.uniform(0.5, 2.5))
    _stamp(image, mask, to_linear(rng.random(3)), rng.uniform(0, 2 * np.pi))


def draw_strands(rng: np.random.Generator, image: Floats, colour: Floats) -> None:
    """Loose strands across the face; now and then a thick lock."""
    size = image.shape[0]
    thick = rng.random() < 0.3
    for _ in range(int(rng.integers(2, 14))):
        x, y = rng.uniform(0.1, 0.9, 2) * size
        steps = rng.normal(0, size * 0.026, (7, 2))
        steps += [rng.normal() * size * 0.015, size * 0.073]
        points = np.cumsum(np.concatenate([[[x, y - size * 0.3]], steps]), 0).astype(np.int32)
        width = int(rng.integers(4, 12) if thick else rng.integers(1, 3))
        tone = tuple(float(c) for c in colour * rng.uniform(0.4, 1.2))
        cv2.polylines(image, [points], False, tone, width, cv2.LINE_AA)
