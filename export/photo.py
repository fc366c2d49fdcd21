"""From linear light to a photo: exposure, tone, colour, blur, noise, borders, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .headmodel import Floats
from .noise import NoiseBank
from .pixels import blur, jpeg, shrink, stretch


def _expose(rng: np.random.Generator, image: Floats, mask: Floats, tone: float) -> Floats:
    size = image.shape[0]
    middle = slice(size // 3, size * 3 // 4)
    inside = image[middle, middle][mask[middle, middle] > 0.5]
    mean = float(inside.mean()) + 1e-4 if inside.size else 0.2
    target = float(np.clip(rng.normal(0.27, 0.13), 0.05, 0.75)) * (0.5 + 0.5 * min(1, tone / 0.35))
    if rng.random() < 0.9:
        image = image * np.float32(target / mean)
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
    return np.asarray(image, np.float32).clip(0, 1) ** np.float32(1 / rng.uniform(1.8, 2.6))


def _grade(rng: np.random.Generator, image: Floats) -> Floats:
    if rng.random() < 0.7:
        image = (image - 0.5) * rng.uniform(0.7, 1.4) + 0.5 + rng.normal(0, 0.045)
    if rng.random() < 0.4:
        image = image * np.clip(1 + rng.normal(0, 0.11, 3), 0.6, 1.5)
    grey = image.mean(-1, keepdims=True)
    t = rng.random()
    if t < 0.15:
        image = np.repeat(grey, 3, -1)
        if rng.random() < 0.35:
            image = image * np.array([1, 0.87, 0.68])
    elif t < 0.6:
        image = grey + (image - grey) * rng.uniform(0.3, 1.5)
    return np.asarray(image, np.float32).clip(0, 1)


def _soften(rng: np.random.Generator, image: Floats) -> Floats:
    size = image.shape[0]
    t = rng.random()
    if t < 0.28:
        return blur(image, rng.uniform(0.3, 1.8))
    if t < 0.5:
        small = int(size * np.exp(rng.uniform(np.log(0.16), np.log(0.9))))
        low = shrink(image, small, small)
        return stretch(low, size, size, cubic=rng.random() >= 0.5)
    if t < 0.57:
        kernel = np.zeros((11, 11), np.float32)
        angle, half = rng.uniform(0, np.pi), rng.uniform(1, 5)
        end = (round(5 - half * float(np.cos(angle))), round(5 - half * float(np.sin(angle))))
        cv2.line(kernel, end, (10 - end[0], 10 - end[1]), (1.0,))
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)
    return image


def take_photo(
    rng: np.random.Generator, noise: NoiseBank, image: Floats, mask: Floats, tone: float
) -> NDArray[np.uint8]:
    """(S, S, 3) linear light -> uint8 RGB. mask (S, S) is the head; tone its mean albedo."""
    image = _soften(rng, _grade(rng, _expose(rng, image, mask, tone)))
    size = image.shape[0]
    if rng.random() < 0.6:
        sigma = rng.uniform(0, 0.06) * rng.random()
        if rng.random() < 0.4:
            grain: np.ndarray = noise.draw(rng, "fine", size)[..., None]
        else:
            grain = rng.standard_normal((size, size, 3), dtype=np.float32)
        image = np.asarray(image + grain * np.float32(sigma), np.float32)
    if rng.random() < 0.14:  # borders, as crops that reach beyond the photo have
        cuts = [int(rng.integers(2, 45)) if rng.random() < 0.45 else 0 for _ in range(4)]
        image = image.copy()
        image[: cuts[0]] = 0
        image[size - cuts[1] :] = 0
        image[:, : cuts[2]] = 0
        image[:, size - cuts[3] :] = 0
    out = (image.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.5:
        return jpeg(out, int(rng.integers(18, 95)))
    return out
