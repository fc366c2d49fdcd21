"""Heads and photos for textures, and colours of what was made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protome.geometry import CROP_SIDE, F32, F64, U8, Level
from protome.mesh.colour.texture import Texture
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface, compose
from tests.support.shapes import CENTRE, Point, balls, no_hair

RED, BLUE, GREEN = (200, 40, 30), (20, 60, 210), (0, 255, 0)
RADIUS = 60.0


def halves(side: int = CROP_SIDE, radius: float = RADIUS) -> U8:
    """A ball in front of green, its left half red and its right half blue."""
    y, x = np.indices((side, side)) + 0.5
    scale = CROP_SIDE / side
    crop = np.empty((side, side, 3), np.uint8)
    crop[:, : side // 2], crop[:, side // 2 :] = RED, BLUE
    crop[np.hypot(x * scale - CENTRE[0], y * scale - CENTRE[1]) > radius] = GREEN
    return crop


def plain(colour: tuple[int, int, int]) -> U8:
    return np.full((CROP_SIDE, CROP_SIDE, 3), colour, np.uint8)


def skin(*wanted: tuple[float, Point]) -> tuple[Head, F32]:
    """Balls that are facial skin all over."""
    head, vertices = balls(*wanted)
    return replace(head, guard=np.ones(len(vertices), np.float32)), vertices


def hairy(thick: float = 14) -> Surface:
    """A ball with a cap of hair over its upper half and its back, ``thick`` pixels of it."""
    head, vertices = balls((40.0, CENTRE))
    z, y, x = (4 * (index + 0.5) for index in np.indices(no_hair().shape))
    away = np.linalg.norm(np.stack([x, y, z], axis=-1) - CENTRE, axis=-1)
    cap = (away < 40 + thick) & ((y < CENTRE[1] - 12) | (z > CENTRE[2] + 12))
    return compose(head, vertices, (255 * cap).astype(np.uint8), Level.STANDARD)


def off(colours: U8, expected: tuple[int, int, int]) -> F64:
    worst: F64 = np.abs(colours.astype(np.float64) - expected).max(axis=1)
    return worst


def lookup(made: Texture) -> U8:
    height, width = made.picture.shape[:2]
    x = np.clip((made.uv[:, 0] * width).astype(int), 0, width - 1)
    y = np.clip((made.uv[:, 1] * height).astype(int), 0, height - 1)
    found: U8 = made.picture[y, x]
    return found
