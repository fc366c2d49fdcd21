"""A crop is the same from the part of a photo around it as from the whole photo."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from protome.geometry import CROP_SIDE, Placement
from protome.image.crop import cut, reach
from protome.image.decode import ImageLimits, decode
from tests.support.shapes import seeded
from tests.unit.image.pictures import STORED

LIMITS = ImageLimits(1 << 24, 1 << 24, 1 << 24)
WIDTH, HEIGHT = 1371, 1043


def stored(orientation: int) -> bytes:
    """Noise whose sides no step divides, as a JPEG."""
    noise = seeded(3).integers(0, 255, (130, 171, 3)).astype(np.uint8)
    exif, out = Pillow.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    Pillow.fromarray(noise).resize((WIDTH, HEIGHT)).save(out, "JPEG", quality=90, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("orientation", STORED)
def test_a_part_is_enough_for_its_crop(orientation: int) -> None:
    data, rng = stored(orientation), seeded(orientation)
    for enough in (WIDTH, 600, 300, 100):
        whole = decode(data, LIMITS, enough=enough)
        for roll in (0.0, 0.0, 40.0, 90.0, 180.0):
            pixel = float(rng.uniform(0.3, 5))
            x, y = rng.uniform(0, whole.width), rng.uniform(0, whole.height)
            half = pixel * CROP_SIDE / 2
            place = Placement(float(x - half), float(y - half), pixel, roll)
            part = decode(data, LIMITS, enough=enough, part=reach(place, whole.step))
            assert (part.width, part.height, part.step) == (whole.width, whole.height, whole.step)
            for side in (CROP_SIDE, 170, 682):
                np.testing.assert_array_equal(cut(part, place, side), cut(whole, place, side))


def test_a_part_has_fewer_pixels() -> None:
    data = stored(6)
    place = Placement(700.0, 500.0, 1.0)
    part = decode(data, LIMITS, enough=WIDTH, part=reach(place, 1))
    assert (part.width, part.height) == (HEIGHT, WIDTH)
    assert max(part.pixels.shape[:2]) < CROP_SIDE + 24
    assert 680 < part.left < 700
    assert 480 < part.top < 500
