"""image → faces: found, ordered, and client boxes checked."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import pytest

from protome.errors import InvalidRequest
from protome.geometry import U8, Box
from protome.image.decode import Image
from protome.image.faces import LARGE, detect, faces_from_boxes, no_more_faces
from protome.image.roll import Face
from tests.support.shapes import seeded

# Eyes, nose tip and mouth of the sample photo, pixels, and its tight face from hair line to chin.
FEATURES: Final = ((203, 105), (242, 108), (222, 130), (221, 149))
INFINITE: Final = float("inf")


def image_of(pixels: U8) -> Image:
    return Image(pixels, pixels.shape[1], pixels.shape[0])


def contains(box: Box, x: float, y: float) -> bool:
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height


def centre_of(face: Face) -> tuple[float, float]:
    return face.box.x + face.box.width / 2, face.box.y + face.box.height / 2


def test_finds_the_face_of_the_sample(sample_image: Image) -> None:
    (face,) = detect(sample_image, min_score=0.6)
    assert all(contains(face.box, x, y) for x, y in FEATURES)
    assert 70 < face.box.width < 120
    assert 90 < face.box.height < 140
    assert 0.6 <= face.score <= 1


def test_boxes_are_in_photo_pixels_whatever_the_decoded_scale(sample_image: Image) -> None:
    (full,) = detect(sample_image, min_score=0.6)
    reduced = Image(sample_image.pixels, sample_image.width * 4, sample_image.height * 4, 4)
    (face,) = detect(reduced, min_score=0.6)
    assert face.box == Box(
        *(4 * v for v in (full.box.x, full.box.y, full.box.width, full.box.height))
    )


@pytest.mark.parametrize("side", [90, 200, 340, 700, 1300])
def test_finds_the_face_at_any_size_of_the_photo(sample_image: Image, side: int) -> None:
    how = cv2.INTER_AREA if side < 512 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(sample_image.pixels, (side, side), interpolation=how), np.uint8)
    faces = detect(image_of(pixels), min_score=0.6)
    assert len(faces) == 1
    x, y = centre_of(faces[0])
    assert np.hypot(x / side - 223 / 512, y / side - 118 / 512) < 0.05


def test_a_score_out_of_reach_finds_nothing(sample_image: Image) -> None:
    assert detect(sample_image, min_score=1.01) == []


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((640, 480, 3), 255, np.uint8),
        np.full((16, 16, 3), 128, np.uint8),
        seeded(1).integers(0, 256, (300, 300, 3), dtype=np.uint8),
        seeded(2).integers(0, 256, (700, 500, 3), dtype=np.uint8),
        np.zeros((16, 30000, 3), np.uint8),
        np.zeros((30000, 16, 3), np.uint8),
    ],
    ids=["black", "white", "tiny", "noise", "tall noise", "wide strip", "tall strip"],
)
def test_finds_nothing_where_nothing_is(pixels: U8) -> None:
    assert detect(image_of(pixels), min_score=0.6) == []


def test_finds_every_face_of_a_group_largest_first(sample_image: Image) -> None:
    head = sample_image.pixels[20:230, 130:320]
    group = np.full((800, 1200, 3), 120, np.uint8)
    places: list[tuple[float, float, float]] = []
    for scale, left, top in [(0.6, 80, 60), (1.5, 500, 40), (1.0, 850, 500), (0.8, 120, 520)]:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(head, None, fx=scale, fy=scale, interpolation=how)
        group[top : top + small.shape[0], left : left + small.shape[1]] = small
        places.append((scale, left + scale * (223 - 130), top + scale * (118 - 20)))
    faces = detect(image_of(group), min_score=0.6)
    assert len(faces) == 4
    areas = [face.box.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    for face, (scale, x, y) in zip(faces, sorted(places, reverse=True), strict=True):
        assert np.hypot(centre_of(face)[0] - x, centre_of(face)[1] - y) < 25 * scale


def test_detection_is_repeatable(sample_image: Image) -> None:
    assert detect(sample_image, min_score=0.6) == detect(sample_image, min_score=0.6)


def test_given_boxes_become_faces_of_full_score() -> None:
    box = Box(10, 20, 30, 40)
    assert faces_from_boxes([box], 100, 100) == [Face(box, 1.0)]


@pytest.mark.parametrize(
    "box",
    [Box(-20, -10, 60, 60), Box(80, 80, 40, 40), Box(-150, -150, 400, 400), Box(0, 0, 40, 10)],
    ids=["over the corner", "centre on the corner", "4 times the photo", "4 times as long as wide"],
)
def test_boxes_at_the_edge_of_what_is_allowed(box: Box) -> None:
    assert faces_from_boxes([box], 100, 100) == [Face(box, 1.0)]


@pytest.mark.parametrize(
    "box",
    [
        Box(float("nan"), 0, 10, 10),
        Box(0, 0, float("nan"), 10),
        Box(INFINITE, 0, 10, 10),
        Box(0, -INFINITE, 10, 10),
        Box(0, 0, INFINITE, INFINITE),
        Box(1e308, 1e308, 1e308, 1e308),
        Box(0, 0, 0, 10),
        Box(0, 0, 10, -10),
        Box(-30, 50, 20, 20),
        Box(50, 95, 20, 20),
        Box(0, 0, 41, 10),
        Box(0, 0, 10, 41),
        Box(-160, -160, 401, 401),
        Box(0, 0, 10, 1e-9),
    ],
    ids=repr,
)
def test_other_boxes_are_refused_by_their_index(box: Box) -> None:
    with pytest.raises(InvalidRequest) as error:
        faces_from_boxes([Box(10, 20, 30, 40), box], 100, 100)
    assert error.value.facts["field"] == "boxes[1]"
    assert error.value.facts["value"] == f"{box.x:g} {box.y:g} {box.width:g} {box.height:g}"


def test_given_boxes_keep_their_order() -> None:
    """The contract: Header.faces is in the order of the request's boxes."""
    small, large = Box(10, 20, 30, 40), Box(40, 30, 50, 60)
    assert [face.box for face in faces_from_boxes([small, large], 100, 100)] == [small, large]


def test_a_photo_that_was_seen_at_the_largest_size_shows_no_more_faces_in_full() -> None:
    pixels = np.zeros((LARGE + 1, 40, 3), np.uint8)
    crowded = [Face(Box(0, 0, 20, 20), 0.9)]
    for found in ([], crowded):
        assert no_more_faces(Image(pixels, 80, 2 * LARGE + 2, 2), found)
        assert not no_more_faces(Image(pixels[::2], 80, 2 * LARGE + 2, 4), found)
