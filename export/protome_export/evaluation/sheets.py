"""Draw contact sheets: pictures beside their meshes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from protome.geometry import CROP_SIDE
from protome.mesh.shape.surface import Surface
from protome_export.render.drawing.images import write_image
from protome_export.render.drawing.raster import gbuffer, vertex_normals
from protome_export.render.sample import Synthesizer

from .photos import Face
from .service import Served

_MIDDLE = np.array([104, 116, 85])  # of a head in the crop, px


def picture(surface: Surface | None, yaw: float = 0.0, size: int = CROP_SIDE) -> NDArray[np.uint8]:
    """Render a surface in grey on white.

    Args:
        surface: crop frame; None: nothing.
        yaw: degrees to turn it.
        size: px per side.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    image = np.full((size, size, 3), 255, np.uint8)
    if surface is None:
        return image
    triangles = surface.triangles.astype(np.int32)
    k = size / CROP_SIDE
    p = (surface.vertices - _MIDDLE) * [1, 1, -1]
    a = np.deg2rad(yaw)
    p = p @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    shown = (p * k + [_MIDDLE[0] * k, _MIDDLE[1] * k, 0]).astype(np.float32)
    _, ids, bary = gbuffer(shown, triangles, size)
    normals = vertex_normals(np.ascontiguousarray(p, np.float32), triangles)
    w = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)[..., None]
    n = (normals[triangles[ids.clip(0)]] * w).sum(2)
    n /= np.linalg.norm(n, axis=-1, keepdims=True) + 1e-6
    if n[..., 2][ids >= 0].mean() < 0:
        n = -n
    light = 0.25 + 0.75 * np.clip(n @ np.array([0.35, -0.45, 0.82]), 0, 1)
    image[ids >= 0] = (235 * light[ids >= 0, None]).astype(np.uint8)
    return image


def _dots(crop: NDArray[np.uint8], points: np.ndarray, colour: tuple[int, int, int]) -> None:
    for p in points:
        cv2.circle(crop, (round(float(p[0])), round(float(p[1]))), 1, colour, -1)


def _over(crop: NDArray[np.uint8], front: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where((front < 255).any(-1, keepdims=True), crop // 2 + front // 2, crop)


def _stack(rows: list[np.ndarray]) -> NDArray[np.uint8]:
    return np.vstack(rows) if rows else np.zeros((1, 1, 3), np.uint8)


def sheet(faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Draw rows: photo, landmarks (green true, red found), overlay, mesh from front and side."""
    rows = []
    for f in faces:
        if f.crop is None or f.truth is None or f.found is None:
            continue
        marked = f.crop.copy()
        _dots(marked, f.truth, (0, 255, 0))
        _dots(marked, f.found, (255, 0, 0))
        front = picture(f.surface)
        side = picture(f.surface, -50.0 if f.yaw > 0 else 50.0)
        rows.append(np.hstack([f.crop, marked, _over(f.crop, front), front, side]))
    return _stack(rows)


def show(served: Served, crops: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Draw rows without ground truth: crop, landmarks, overlay, mesh from four sides."""
    rows = []
    for crop in crops:
        out = served.predict(crop)
        surface = served.surface(out)
        marked, front = crop.copy(), picture(surface)
        if out.landmarks is not None:
            _dots(marked, out.landmarks, (255, 0, 0))
        turned = [picture(surface, yaw) for yaw in (-50.0, 50.0, 180.0)]
        rows.append(np.hstack([crop, marked, _over(crop, front), front, *turned]))
    return _stack(rows)


def contact_sheet(synthesizer: Synthesizer, seed: int, count: int, path: Path) -> None:
    """Write rows of eight samples; every second one shows its landmarks."""
    tiles = []
    for k, sample in enumerate(synthesizer.samples(list(range(seed, seed + count)))):
        tile = sample.image.copy()
        if k % 2:
            for x, y, _ in sample.landmarks:
                cv2.circle(tile, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
        tiles.append(tile)
    while len(tiles) % 8:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[i : i + 8]) for i in range(0, len(tiles), 8)]
    write_image(path, np.vstack(rows))
