"""Make a small procedural head, so that tests need no download."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .model import FACE, HEAD, HeadModel

_ROWS, _COLUMNS = 36, 48

# Where the 68 points sit on the tiny head: (azimuth, elevation) in degrees, right half and
# midline; the left half mirrors it. Azimuth is positive to the subject's left.
_JAW = [(-78, 5), (-76, -5), (-72, -14), (-66, -22), (-58, -30), (-46, -37), (-32, -43), (-16, -46)]
_BROW = [(-40, 26), (-33, 31), (-26, 32), (-18, 31), (-11, 28)]
_EYE = [(-32, 18), (-28, 21), (-21, 21), (-16, 18), (-21, 16), (-28, 16)]
_NOSE = [(0, 19), (0, 12), (0, 6), (0, 0)]
_BASE = [(-12, -8), (-6, -10), (0, -11)]
_MOUTH_TOP = [(-22, -22), (-14, -19), (-6, -18), (0, -19)]
_MOUTH_LOW = [(-14, -27), (-6, -29), (0, -29)]
_INNER_TOP = [(-18, -22), (-7, -21), (0, -21)]
_INNER_LOW = [(-7, -25), (0, -25)]


def _landmark_angles() -> np.ndarray:
    def flip(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(-a, e) for a, e in points]

    eye_left = [flip(_EYE)[i] for i in (3, 2, 1, 0, 5, 4)]
    mouth = [*_MOUTH_TOP, *flip(_MOUTH_TOP[:3])[::-1]]
    mouth += [*flip(_MOUTH_LOW[:2]), _MOUTH_LOW[2], *_MOUTH_LOW[:2][::-1]]
    inner = [*_INNER_TOP, *flip(_INNER_TOP[:2])[::-1]]
    inner += [*flip(_INNER_LOW[:1]), _INNER_LOW[1], *_INNER_LOW[:1]]
    points = [*_JAW, (0, -48), *flip(_JAW)[::-1], *_BROW, *flip(_BROW)[::-1], *_NOSE]
    points += [*_BASE, *flip(_BASE[:2])[::-1], *_EYE, *eye_left, *mouth, *inner]
    return np.array(points, float)


def tiny_head() -> HeadModel:
    """Return an egg with nose and ears: 1,682 vertices, 6 identity and 5 expression modes."""
    el = np.deg2rad(np.linspace(80, -80, _ROWS))[:, None]
    az = np.deg2rad(np.linspace(-180, 180, _COLUMNS, endpoint=False) + 180 / _COLUMNS)[None]

    def blob(a: float, e: float, sa: float, se: float) -> NDArray[np.float64]:
        da, de = np.rad2deg(az) - a, np.rad2deg(el) - e
        return np.asarray(np.exp(-((da / sa) ** 2) - (de / se) ** 2), np.float64)

    radius = 9.5 + 1.2 * np.sin(el) ** 2 + 2.2 * blob(0, 0, 8, 12) + 0.5 * blob(0, -22, 16, 6)
    radius = radius + 0.9 * (blob(90, 0, 6, 12) + blob(-90, 0, 6, 12))
    radius = radius - 0.5 * (blob(24, 18, 9, 6) + blob(-24, 18, 9, 6))
    unit = np.stack(
        [np.cos(el) * np.sin(az), np.sin(el) * np.ones_like(az), np.cos(el) * np.cos(az)], -1
    )
    grid = (unit * (radius * np.ones((_ROWS, _COLUMNS)))[..., None]) * [0.8, 1.15, 1.0]
    grid = grid + np.array([0, -0.5, 2.0])
    tip = np.array([0, 0.2, 0])
    top, bottom = grid[0].mean(0) + tip, grid[-1].mean(0) - tip
    neutral = np.concatenate([grid.reshape(-1, 3), [top, bottom]]).astype(np.float32)

    def field(weight: np.ndarray, direction: list[float]) -> np.ndarray:
        w = np.concatenate([(weight * np.ones((_ROWS, _COLUMNS))).ravel(), [0.0, 0.0]])
        return np.asarray(w[:, None] * np.array(direction), np.float32)

    identity = np.stack(
        [
            neutral * np.float32(0.04) * np.array([1, 0, 0], np.float32),
            neutral * np.float32(0.04) * np.array([0, 1, 0], np.float32),
            field(blob(0, 0, 12, 14), [0, 0, 0.4]),
            field(blob(0, -46, 40, 14), [0, -0.5, 0.3]),
            field(blob(60, -30, 24, 20), [0.4, 0, 0]) - field(blob(-60, -30, 24, 20), [0.4, 0, 0]),
            field(blob(0, 45, 60, 20), [0, 0.2, 0.4]),
        ]
    )
    expression = np.stack(
        [
            field(blob(0, -40, 40, 16), [0, -1.5, -0.4]),
            field(blob(22, -22, 9, 7), [0.4, 0.5, -0.2]),
            field(blob(-22, -22, 9, 7), [-0.4, 0.5, -0.2]),
            field(blob(24, 20, 9, 4), [0, -0.3, 0.2]),
            field(blob(-24, 20, 9, 4), [0, -0.3, 0.2]),
        ]
    )
    names = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R")

    i = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    right = np.roll(i, -1, 1)
    a, b, c, d = i[:-1].ravel(), i[1:].ravel(), right[1:].ravel(), right[:-1].ravel()
    n = i.size
    cap = np.stack([np.full(_COLUMNS, n), i[0], right[0]], 1)
    base = np.stack([np.full(_COLUMNS, n + 1), right[-1], i[-1]], 1)
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1), cap, base])

    # uv: a cylinder; every corner has its own uv vertex so that the seam is clean.
    angles = np.concatenate([np.rad2deg(np.broadcast_to(az, i.shape)).ravel(), [0.0, 0.0]])
    rows = np.concatenate([np.rad2deg(np.broadcast_to(el, i.shape)).ravel(), [90.0, -90.0]])
    u = angles[triangles]
    u = np.where((u - u[:, :1]) > 180, u - 360, np.where((u - u[:, :1]) < -180, u + 360, u))
    uv = np.stack([0.5 + u / 220, 0.5 + rows[triangles] / 200], -1).reshape(-1, 2)
    behind = np.abs(neutral[triangles][..., 2].mean(1) - 14) > 14  # centroid behind z = 0
    part = np.where(neutral[:, 2] > 0, FACE, HEAD).astype(np.uint8)

    angle = np.deg2rad(_landmark_angles())
    want = np.stack(
        [
            np.cos(angle[:, 1]) * np.sin(angle[:, 0]),
            np.sin(angle[:, 1]),
            np.cos(angle[:, 1]) * np.cos(angle[:, 0]),
        ],
        1,
    )
    landmarks = (want @ unit.reshape(-1, 3).T).argmax(1)
    return HeadModel(
        neutral,
        identity.astype(np.float32),
        expression.astype(np.float32),
        names,
        triangles.astype(np.int32),
        np.arange(triangles.size).reshape(-1, 3).astype(np.int32),
        uv.astype(np.float32),
        behind.astype(np.uint8),
        ("M_Face", "M_BackHead"),
        part,
        landmarks.astype(np.int32),
    )
