"""Wrap the OpenCV functions that the factory uses, with types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from protome_export.heads.model import Floats


def blur(image: NDArray[Any], sigma: float) -> Floats:
    """Apply a Gaussian blur to any number of channels; sigma in px."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def shrink(image: NDArray[Any], width: int, height: int) -> Floats:
    """Scale down to width x height by area average."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def stretch(image: NDArray[Any], width: int, height: int, cubic: bool = False) -> Floats:
    """Scale to width x height by linear or cubic interpolation."""
    mode = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=mode), np.float32)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB, (H, W, 3) uint8.

    Raises:
        ValueError: it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"not a picture: {path}")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write RGB (H, W, 3) uint8; the suffix selects the format.

    Raises:
        ValueError: it cannot be written.
    """
    if not cv2.imwrite(str(path), image[..., ::-1]):
        raise ValueError(f"cannot write {path}")


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Encode and decode a picture as JPEG, quality 0 to 100."""
    _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    out = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert out is not None
    return np.ascontiguousarray(out[..., ::-1], np.uint8)
