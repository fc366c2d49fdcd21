"""Faces that lie or hang upside down: found, with their roll, and only then looked for."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image as Pillow

from protome.geometry import U8, Box
from protome.image import faces, roll
from protome.image.decode import Image
from protome.image.detector import Detection, run_detector
from protome.image.faces import _unturned, detect
from protome.image.roll import Face, settle_given

GREY = (90, 110, 130)
MIDDLE = 223.0, 118.0
HEAD = (100, 0, 356, 256)


@pytest.fixture(scope="module")
def sample(sample_photo: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(sample_photo)).convert("RGB")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of every picture that the detector was given."""
    shapes: list[tuple[int, ...]] = []

    def counted(rgb: U8) -> list[Detection]:
        shapes.append(rgb.shape)
        return run_detector(rgb)

    monkeypatch.setattr(faces, "run_detector", counted)
    monkeypatch.setattr(roll, "run_detector", counted)
    return shapes


def image_of(picture: Pillow.Image) -> Image:
    pixels = np.asarray(picture)
    return Image(pixels, pixels.shape[1], pixels.shape[0])


def turned(picture: Pillow.Image, angle: float) -> Pillow.Image:
    return picture.rotate(angle, Pillow.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def off(face: Face, angle: float) -> float:
    return abs((face.roll - angle + 180) % 360 - 180)


@pytest.mark.parametrize("angle", [60, 90, 135, 180, 225, 270, 315])
def test_a_turned_face_is_found_with_its_roll(sample: Pillow.Image, angle: int) -> None:
    picture = turned(sample, angle)
    (face,) = detect(image_of(picture), min_score=0.6)
    assert face.score > 0.85
    assert off(face, angle) < 15
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = MIDDLE[0] - sample.width / 2, MIDDLE[1] - sample.height / 2
    expected = picture.width / 2 + c * x + s * y, picture.height / 2 + c * y - s * x
    for box in (face.box, face.upright_box):
        centre = box.x + box.width / 2, box.y + box.height / 2
        assert np.hypot(*np.subtract(centre, expected)) < 15
    assert 75 < face.upright_box.width < 110
    assert 95 < face.upright_box.height < 135


def test_an_upright_face_costs_one_run_of_the_detector(
    sample: Pillow.Image, runs: list[tuple[int, ...]]
) -> None:
    (face,) = detect(image_of(sample), min_score=0.6)
    assert face.roll == 0
    assert face.head is None
    assert len(runs) == 1


def test_a_turned_face_beside_an_upright_one_is_found(sample: Pillow.Image) -> None:
    head = sample.crop(HEAD)
    picture = Pillow.new("RGB", (1000, 600), GREY)
    picture.paste(head.resize((400, 400)), (40, 100))
    picture.paste(turned(head, 180), (560, 150))
    upright, hanging = detect(image_of(picture), min_score=0.6)
    assert upright.roll == 0
    assert off(hanging, 180) < 15


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_large_and_small_turned_faces_are_found(sample: Pillow.Image, angle: int) -> None:
    head = sample.crop(HEAD)
    picture = Pillow.new("RGB", (1000, 600), GREY)
    picture.paste(head.resize((400, 400)), (40, 100))
    picture.paste(head.resize((120, 120)), (800, 150))
    found = detect(image_of(turned(picture, angle)), min_score=0.6)
    assert sum(off(face, angle) < 15 for face in found) == 2


@pytest.mark.parametrize("angle", [0, 90, 180])
def test_a_given_box_gets_the_roll_of_its_face(sample: Pillow.Image, angle: int) -> None:
    picture = sample.rotate(angle, center=MIDDLE, fillcolor=GREY)
    given = Face(Box(MIDDLE[0] - 50, MIDDLE[1] - 50, 100, 100), 1.0)
    face = settle_given(image_of(picture), given, 0.6)
    assert (face.box, face.score) == (given.box, 1.0)
    assert off(face, angle) < (15 if angle else 1e-9)


def test_a_box_without_a_face_stays_as_it_is(sample: Pillow.Image) -> None:
    given = Face(Box(440, 440, 60, 60), 1.0)
    assert settle_given(image_of(sample), given, 0.6) == given


@pytest.mark.parametrize("quarter", range(4))
def test_boxes_of_a_turned_picture_are_turned_back(quarter: int) -> None:
    picture = np.zeros((30, 50), np.uint8)
    picture[4:9, 12:30] = 1
    rows, columns = np.nonzero(np.rot90(picture, -quarter))
    x, y = int(columns.min()), int(rows.min())
    box = x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y
    assert _unturned(*box, quarter, 50, 30) == (12, 4, 18, 5)
