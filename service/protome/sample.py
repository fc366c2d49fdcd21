"""Locate the sample photo of the package: Eileen Collins, NASA, 1999, in the public domain.

The picture is `skimage.data.astronaut()` as a JPEG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).parent / "sample.jpg"
