"""Cut the crops that the network and the texture are made from."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from protome.geometry import CROP_SIDE, U8, Box, Placement, turned

from .decode import Image

# Rows and columns of a crop that most faces fill.
FACE: Final = (slice(54, 169), slice(46, 161))


def cut(image: Image, placement: Placement, side: int = CROP_SIDE) -> U8:
    """Cut a square out of a photo and resample it; outside of the photo it is black.

    Args:
        image: the photo.
        placement: where the crop lies in the photo.
        side: side of the result in pixels; the region of the photo is the same for every side.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    # Coordinates are continuous: the centre of pixel i is at i + 1/2.
    step = placement.pixel * CROP_SIDE / side
    sx = sy = step / image.step
    left = (placement.corner[0] - image.left) / image.step
    top = (placement.corner[1] - image.top) / image.step
    # The crop's axes in the photo.
    (ax, ay), (dx, dy) = turned(1.0, 0.0, placement.roll), turned(0.0, 1.0, placement.roll)
    height, width = image.pixels.shape[:2]
    margin = 4 + math.ceil(2 * max(sx, sy))
    x0, x1 = _span(left, (sx * side * ax, sx * side * dx), width, margin)
    y0, y1 = _span(top, (sy * side * ay, sy * side * dy), height, margin)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((side, side, 3), np.uint8)
    region = image.pixels[y0:y1, x0:x1]
    left, top = left - x0, top - y0
    times = int(max(sx, sy) / 2)
    if times > 1:
        # Average whole blocks first, because the cost of a Gaussian grows with its width.
        size = -(-region.shape[1] // times), -(-region.shape[0] // times)
        fx, fy = region.shape[1] / size[0], region.shape[0] / size[1]
        region = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
        sx, sy, left, top = sx / fx, sy / fy, left / fx, top / fy
    shrink = max(sx, sy)
    if shrink > 1.1:
        # Low-pass filter at the new Nyquist rate; bilinear sampling alone would alias.
        sigma = 0.35 * math.sqrt(shrink * shrink - 1)
        region = np.asarray(cv2.GaussianBlur(region, (0, 0), sigma), np.uint8)
    to_region = np.array(
        [
            [sx * ax, sx * dx, left + 0.5 * sx * (ax + dx) - 0.5],
            [sy * ay, sy * dy, top + 0.5 * sy * (ay + dy) - 0.5],
        ],
        np.float64,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(region, to_region, (side, side), flags=flags)
    return np.asarray(crop, np.uint8)


def reach(placement: Placement, step: int) -> Box:
    """Return the part of a photo that :func:`cut` reads where a decoded pixel covers ``step``."""
    half = placement.pixel * CROP_SIDE / 2
    x, y = placement.left + half, placement.top + half
    # A turned square lies within a circle; beyond are the pixels that the filters read.
    half *= math.sqrt(2) if placement.roll else 1
    half += 8 * step + 2 * placement.pixel
    return Box(x - half, y - half, 2 * half, 2 * half)


def _span(start: float, sides: tuple[float, float], limit: int, margin: int) -> tuple[int, int]:
    """Return the range of pixels that a crop touches on one axis of the photo.

    Args:
        start: where the crop's corner lies on the axis.
        sides: how far the crop's two sides go from there along the axis.
        limit: pixels of the photo.
        margin: pixels to add for the filters.
    """
    low = start + sum(min(side, 0.0) for side in sides)
    high = start + sum(max(side, 0.0) for side in sides)
    return max(0, math.floor(low) - margin), min(limit, math.ceil(high) + margin)


def blur_effect(crop: U8) -> float:
    """Measure how blurred the face in a crop is: 0 is sharp, 1 is without detail.

    Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual
    blur metric", SPIE 2007: the share of the gradient that remains after a further blur. The crop
    is smoothed by a pixel first: in a picture without detail the steps between 8-bit levels and the
    blocks of a JPEG would count as sharp edges.

    Args:
        crop: (208, 208, 3) uint8 RGB.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[FACE].astype(np.float32)
    grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32)
    shares = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        own = np.abs(np.diff(grey, axis=axis))
        left = np.abs(np.diff(cv2.blur(grey, kernel), axis=axis))
        lost = np.maximum(0, own - left).sum()
        shares.append(1 - float(lost) / max(float(own.sum()), 1e-6))
    return max(shares)
