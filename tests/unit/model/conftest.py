"""Crops for the tests of the engine."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import U8, place
from protome.image.crop import cut
from protome.image.decode import Image
from protome.image.faces import detect
from protome.model.card import Model
from tests.support.shapes import seeded


@pytest.fixture(scope="module")
def crops(sample_image: Image, model: Model) -> list[U8]:
    """The sample's face, mirrored, dimmed, and something else."""
    (face,) = detect(sample_image, min_score=0.6)
    crop = cut(sample_image, place(face.box, model.rule))
    noise = seeded(1).integers(0, 256, crop.shape, dtype=np.uint8)
    return [crop, np.ascontiguousarray(crop[:, ::-1]), crop // 2, noise, np.zeros_like(crop)]
