"""faces → crops: the square the network sees, and how it maps back to the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from protome.geometry import CROP_DEPTH, CROP_SIDE, F64, METRES_PER_PIXEL, U8, Frame

from .decode import Image
from .faces import Box


@dataclass(frozen=True, slots=True)
class CropRule:
    """From a detector's box to a crop; ships with the model, measured for its detector.

    The crop is a square of side ``side`` x sqrt(width x height) of the box. The point of the box at
    its centre, lowered by ``drop`` x height, goes to crop coordinates (CROP_SIDE / 2, ``anchor``).
    """

    side: float
    drop: float
    anchor: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a crop lies in the photo: photo = (``left``, ``top``) + ``pixel`` x crop, in pixels."""

    left: float
    top: float
    pixel: float

    def mesh_to_photo(self) -> F64:
        """(4, 4) matrix from mesh coordinates (metres) to photo coordinates (pixels)."""
        s = self.pixel / METRES_PER_PIXEL
        matrix = np.diag([s, -s, s, 1.0])
        matrix[0, 3] = self.left + self.pixel * CROP_SIDE / 2
        matrix[1, 3] = self.top + self.pixel * CROP_SIDE / 2
        return matrix

    def frame(self, width: int, height: int) -> Frame:
        """The part of the crop that a photo of this size covers."""
        return Frame(
            max(0.0, -self.left / self.pixel),
            max(0.0, -self.top / self.pixel),
            min(float(CROP_SIDE), (width - self.left) / self.pixel),
            min(float(CROP_SIDE), (height - self.top) / self.pixel),
        )

    def crop_to_photo(self) -> F64:
        """(4, 4) matrix from crop coordinates (pixels, z away) to photo coordinates (pixels)."""
        return self.mesh_to_photo() @ crop_to_mesh()


def crop_to_mesh() -> F64:
    """(4, 4) matrix from crop coordinates (pixels, z away) to mesh coordinates (metres)."""
    m = METRES_PER_PIXEL
    matrix = np.diag([m, -m, -m, 1.0])
    matrix[:3, 3] = -m * CROP_SIDE / 2, m * CROP_SIDE / 2, m * CROP_DEPTH / 2
    return matrix


def place(box: Box, rule: CropRule) -> Placement:
    """Place the crop of a face by the model's rule."""
    side = rule.side * math.sqrt(box.width * box.height)
    pixel = side / CROP_SIDE
    x = box.x + box.width / 2
    y = box.y + box.height / 2 + rule.drop * box.height
    return Placement(x - pixel * CROP_SIDE / 2, y - pixel * rule.anchor, pixel)


def cut(image: Image, placement: Placement, side: int = CROP_SIDE) -> U8:
    """Cut and resample a crop; outside of the photo it is black.

    Args:
        image: the photo.
        placement: from :func:`place`.
        side: pixels of the result; the region of the photo is the same for every side.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    # Continuous coordinates throughout: the centre of pixel i is at i + 1/2.
    step = placement.pixel * CROP_SIDE / side
    sx = sy = step / image.step
    left = (placement.left - image.left) / image.step
    top = (placement.top - image.top) / image.step
    height, width = image.pixels.shape[:2]
    margin = 4 + math.ceil(2 * max(sx, sy))
    x0, x1 = _span(left, sx * side, width, margin)
    y0, y1 = _span(top, sy * side, height, margin)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side, side, 3), np.uint8)
    region = image.pixels[y0:y1, x0:x1]
    left, top = left - x0, top - y0
    times = int(max(sx, sy) / 2)
    if times > 1:
        # Whole blocks first: the cost of a Gaussian grows with its width.
        size = -(-region.shape[1] // times), -(-region.shape[0] // times)
        fx, fy = region.shape[1] / size[0], region.shape[0] / size[1]
        region = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
        sx, sy, left, top = sx / fx, sy / fy, left / fx, top / fy
    shrink = max(sx, sy)
    if shrink > 1.1:
        # Gaussian low-pass at the new Nyquist rate; bilinear sampling alone would alias.
        sigma = 0.35 * math.sqrt(shrink * shrink - 1)
        region = np.asarray(cv2.GaussianBlur(region, (0, 0), sigma), np.uint8)
    to_region = np.array(
        [[sx, 0, left + 0.5 * sx - 0.5], [0, sy, top + 0.5 * sy - 0.5]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(region, to_region, (side, side), flags=flags)
    return np.asarray(crop, np.uint8)


def _span(start: float, length: float, limit: int, margin: int) -> tuple[int, int]:
    """The whole pixels that a stretch of the photo touches, with a margin for the filters."""
    first = max(0, math.floor(start) - margin)
    last = min(limit, math.ceil(start + length) + margin)
    return first, last
