"""Glasses and sunglasses as thin meshes hung on the head's landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .headmodel import Floats, Ints

_SEGMENTS = 24


@dataclass
class Glasses:
    """vertices (N, 3) cm in the head frame; frame and lens triangles; opacity of the lenses."""

    vertices: Floats
    frame: Ints
    lens: Ints
    dark: bool


def sample_glasses(rng: np.random.Generator, landmarks: Floats) -> Glasses:
    """Draws glasses for a head; landmarks (68, 3) cm in the head frame."""
    dark = rng.random() < 0.5
    eye_r, eye_l = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    middle = (eye_r + eye_l) / 2
    apart = float(eye_l[0] - eye_r[0]) / 2
    large = 1.25 if dark else 1.0
    width = apart * rng.uniform(0.68, 0.9) * (1.05 if dark else 1.0)
    width = min(width, apart - 0.25)
    height = rng.uniform(1.4, 2.3) * large
    power = rng.uniform(2, 5)
    rim = rng.uniform(0.1, 0.45)
    centre_y = middle[1] + rng.uniform(-0.6, 0.25)
    front = float(max(landmarks[27, 2], landmarks[36:48, 2].max())) + rng.uniform(0.5, 1.4)
    bend = rng.uniform(0.03, 0.06)
    angle = np.linspace(0, 2 * np.pi, _SEGMENTS + 1)[:-1]
    cx = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power)
    cy = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power)
    points: list[list[float]] = []
    frame: list[list[int]] = []
    lens: list[list[int]] = []

    def depth(x: float) -> float:
        return front - bend * (x - float(middle[0])) ** 2

    for side in (-1.0, 1.0):
        x0, o = float(middle[0]) + side * apart, len(points)
        for ring in (0, 1):
            for a, b in zip(cx, cy, strict=True):
                x = x0 + (width + rim * ring) * a
                points.append([x, centre_y + (height + rim * ring) * b, depth(x)])
        points.append([x0, centre_y, depth(x0)])
        for i in range(_SEGMENTS):
            j = (i + 1) % _SEGMENTS
            n = _SEGMENTS
            frame += [[o + i, o + n + i, o + n + j], [o + i, o + n + j, o + j]]
            lens.append([o + 2 * n, o + i, o + j])
        o, arm = len(points), rng.uniform(0.15, 0.5) * (1.6 if dark and rng.random() < 0.3 else 1)
        x = x0 + side * width
        ear = landmarks[0 if side < 0 else 16]
        top = centre_y + min(0.8, height * 0.7)
        reach = [float(ear[0]) + side * 0.9, float(ear[1]) + 1.3, float(ear[2]) - 1.6]
        points += [[x, top, depth(x)], [x, top - arm, depth(x)], reach]
        points.append([reach[0], reach[1] - arm, reach[2]])
        frame += [[o, o + 1, o + 2], [o + 1, o + 3, o + 2]]
    o, gap, m = len(points), apart - width + 0.1, float(middle[0])
    for x in (m - gap, m + gap):
        points += [[x, centre_y + 0.6, front], [x, centre_y + 0.6 - rim, front]]
    frame += [[o, o + 1, o + 2], [o + 1, o + 3, o + 2]]
    return Glasses(
        np.array(points, np.float32), np.array(frame, np.int32), np.array(lens, np.int32), dark
    )
