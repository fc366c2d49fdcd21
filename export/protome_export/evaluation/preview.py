"""Contact sheets of synthetic samples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from protome_export.render.images import write_image
from protome_export.render.sample import Synthesizer


def contact_sheet(synthesizer: Synthesizer, seed: int, count: int, path: Path) -> None:
    """Writes rows of eight samples; every second one shows its landmarks."""
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
