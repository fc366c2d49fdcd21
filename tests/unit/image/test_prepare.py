"""The half of the line before the network: the scale at which photos are looked at."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from protome.config import Config
from protome.errors import NoFaceFound
from protome.geometry import U8, Box
from protome.image import prepare as prepare_module
from protome.image.decode import Image, ImageLimits
from protome.image.decode import decode as real_decode
from protome.image.prepare import (
    PORTRAITS,
    USEFUL_SIDE,
    DecodePlan,
    PhotoJob,
    PreparedPhoto,
    prepare,
)
from protome.model.card import load_model

JOB = PhotoJob(
    boxes=(),
    max_faces=8,
    min_face_pixels=20,
    min_score=0.6,
    limits=ImageLimits.of(Config()),
    rule=load_model().rule,
    textured=False,
)
SIDE = 2400


@pytest.fixture(scope="module")
def picture(sample_photo: bytes) -> Pillow.Image:
    """The sample, larger than any stage needs it."""
    return Pillow.open(io.BytesIO(sample_photo)).convert("RGB").resize((SIDE, SIDE))


def jpeg(picture: Pillow.Image) -> U8:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=92)
    return np.frombuffer(out.getvalue(), np.uint8)


class Looks:
    """Every scale at which photos were decoded, and how much of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.shapes: list[tuple[int, ...]] = []

        def decode(
            data: bytes, limits: ImageLimits, *, enough: int, part: Box | None = None
        ) -> Image:
            image = real_decode(data, limits, enough=enough, part=part)
            self.steps.append(image.step)
            self.shapes.append(image.pixels.shape)
            return image

        monkeypatch.setattr(prepare_module, "decode", decode)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def whole(job: PhotoJob, data: U8) -> tuple[PreparedPhoto, list[U8]]:
    """What the whole photo gives."""
    return prepare(job, [data], DecodePlan(USEFUL_SIDE, 0))


def test_a_large_face_is_cut_from_half_the_size_and_is_the_same(
    picture: Pillow.Image, looks: Looks
) -> None:
    data = jpeg(picture)
    photo, (crop, _) = prepare(JOB, [data])
    assert looks.steps == [2]
    expected, (sharp, _) = whole(JOB, data)
    (face,), (other,) = photo.faces, expected.faces
    assert (photo.width, photo.height) == (SIDE, SIDE)
    for name in ("x", "y", "width", "height"):
        ours, theirs = getattr(face.face.box, name), getattr(other.face.box, name)
        assert ours == pytest.approx(theirs, abs=0.005 * SIDE)
    assert face.blur == pytest.approx(other.blur, abs=0.02)
    if face.face.box == other.face.box:
        assert np.abs(crop.astype(int) - sharp.astype(int)).mean() < 2


def test_given_boxes_give_the_same_crop(picture: Pillow.Image, looks: Looks) -> None:
    data, job = jpeg(picture), replace(JOB, boxes=(Box(800, 300, 500, 650),))
    _, (crop, _) = prepare(job, [data])
    assert looks.steps == [2]
    _, (sharp, _) = whole(job, data)
    difference = np.abs(crop.astype(int) - sharp.astype(int))
    assert difference.mean() < 1.5
    assert np.abs(crop.std() - sharp.std()) < 0.01 * sharp.std(), "as much contrast"


@pytest.mark.parametrize("boxes", [(), (Box(1000, 1000, 70, 90),)], ids=["found", "given"])
def test_a_small_face_gets_the_whole_photo(
    picture: Pillow.Image,
    looks: Looks,
    boxes: tuple[Box, ...],
) -> None:
    grey = Pillow.new("RGB", (SIDE, SIDE), (90, 100, 110))
    grey.paste(picture.resize((600, 600)), (900, 800))
    data, job = jpeg(grey), replace(JOB, boxes=boxes)
    photo, pictures = prepare(job, [data])
    assert looks.steps == [2, 1]
    expected, others = whole(job, data)
    assert len(photo.faces) == len(expected.faces) == 1
    assert np.abs(pictures[0].astype(int) - others[0].astype(int)).mean() < 6


@pytest.mark.parametrize(("side", "steps"), [(2400, [1]), (2560, [2, 1]), (3000, [2, 1])])
def test_a_texture_is_as_sharp_as_the_photo(
    sample_photo: bytes, looks: Looks, side: int, steps: list[int]
) -> None:
    picture = Pillow.open(io.BytesIO(sample_photo)).convert("RGB").resize((side, side))
    data, job = jpeg(picture), replace(JOB, textured=True)
    photo, (_, portrait) = prepare(job, [data])
    assert looks.steps == steps
    place = photo.faces[0].placement
    assert place is not None
    assert len(portrait) == next(s for s in PORTRAITS if s >= 208 * place.pixel)
    _, (_, sharp) = whole(job, data)
    assert portrait.shape == sharp.shape
    assert np.abs(portrait.astype(int) - sharp.astype(int)).mean() < 4


def test_a_face_of_500_pixels_in_a_photo_of_12_megapixels_keeps_them(
    sample_photo: bytes, looks: Looks
) -> None:
    photo = Pillow.new("RGB", (4000, 3000), (90, 100, 110))
    picture = Pillow.open(io.BytesIO(sample_photo)).convert("RGB").resize((2900, 2900))
    photo.paste(picture, (500, 50))
    made, (_, portrait) = prepare(replace(JOB, textured=True), [jpeg(photo)])
    assert 400 < made.faces[0].face.box.width < 600
    assert looks.steps == [2, 1]
    assert looks.shapes[1][1] < 2000, "only around the face"
    assert len(portrait) == 1365


def test_a_small_texture_needs_no_more_of_the_photo(picture: Pillow.Image, looks: Looks) -> None:
    data = jpeg(picture.resize((3000, 3000)))
    _, (_, portrait) = prepare(replace(JOB, textured=True, max_texture_side=512), [data])
    assert looks.steps == [2]
    assert portrait.shape == (341, 341, 3)


def test_the_portraits_of_many_faces_are_smaller(picture: Pillow.Image) -> None:
    boxes = tuple(Box(800 + k, 300, 900, 1100) for k in range(20))
    job = replace(JOB, boxes=boxes, max_faces=20, textured=True)
    _, pictures = prepare(job, [jpeg(picture)])
    sides = {len(portrait) for portrait in pictures[1::2]}
    assert sides == {682}
    assert sum(portrait.nbytes for portrait in pictures) < 64 << 20


def test_a_photo_without_a_face_is_looked_at_whole(looks: Looks) -> None:
    with pytest.raises(NoFaceFound):
        prepare(JOB, [jpeg(Pillow.new("RGB", (2000, 1000), (90, 100, 110)))])
    assert looks.steps == [2, 1]


@pytest.mark.parametrize("why", ["a PNG", "small"])
def test_others_are_decoded_once(picture: Pillow.Image, looks: Looks, why: str) -> None:
    if why == "a PNG":
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        data = np.frombuffer(out.getvalue(), np.uint8)
    else:
        data = jpeg(picture.resize((1024, 1024)))
    prepare(JOB, [data])
    assert looks.steps == [1]
