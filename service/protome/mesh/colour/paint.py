"""Do with NumPy what ``kernel/colour/pixels.c``, ``gather.c`` and ``blend.c`` do, more slowly.

The functions take and return the same; the docstrings of the compiled ones say what.
"""

from __future__ import annotations

import cv2
import numpy as np

from protome.geometry import F32, U8, U32


def pixels(photo: U8, /) -> bytearray:
    """Make a number of each pixel."""
    channels = photo.astype(np.uint32)
    return bytearray(channels[:, :, 0] | channels[:, :, 1] << 8 | channels[:, :, 2] << 16)


def halve(photo: U32, /) -> bytearray:
    """Average 2 x 2 pixels."""
    height, width = (2 * (size // 2) for size in photo.shape)
    blocks = photo[:height, :width].reshape(height // 2, 2, width // 2, 2)
    out = sum(((blocks >> s & 255).sum(axis=(1, 3)) + 2) // 4 << s for s in (0, 8, 16))
    return bytearray(np.asarray(out, np.uint32))


def gather(trace: F32, photo: U32, cells: int, /) -> bytearray:
    """Average the colours that an atlas shows."""
    weighted = np.concatenate([_photo_at(trace, photo) * trace[:, :, 2:], trace[:, :, 2:]], axis=2)
    block = len(trace) // cells
    means = weighted.reshape(cells, block, cells, block, 4).mean(axis=(1, 3))
    return bytearray(means.astype(np.float32).tobytes())


def blend(trace: F32, plan: F32, photo: U32, picture: U8, /) -> None:
    """Paint an atlas."""
    base, mean, own, mirrored = np.split(large(plan, len(picture)), (3, 6, 7), axis=2)
    fine = large(trace, len(picture))
    # Half of a weight counts in full.
    detail = np.minimum(2 * fine[:, :, 2:], 1) * (_photo_at(fine, photo) - mean)
    out = base + own * detail + mirrored * detail[:, ::-1]
    picture[:] = np.clip(np.round(out), 0, 255)


def _photo_at(trace: F32, photo: U32) -> F32:
    """Return the photo's colours at the spots of a trace."""
    channels = np.stack([photo >> 8 * k & 255 for k in range(3)], axis=2).astype(np.uint8)
    spots = trace[:, :, :2] * np.array([photo.shape[1], photo.shape[0]], np.float32)
    spots -= np.float32(0.5)
    x, y = (np.ascontiguousarray(spots[:, :, k], np.float32) for k in (0, 1))
    colours = cv2.remap(channels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours, np.float32)


def large(values: F32, side: int) -> F32:
    """Interpolate a square picture of some channels, to ``side`` each way."""
    channels = [
        cv2.resize(np.ascontiguousarray(values[:, :, k]), (side, side))
        for k in range(values.shape[2])
    ]
    return np.stack(channels, axis=2)
