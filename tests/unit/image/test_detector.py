"""The detector: what it finds at any size of the picture, and memory that stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from protome.geometry import U8
from protome.image.decode import Image
from protome.image.detector import Detection, run_detector


def resized(image: Image, width: int, height: int) -> U8:
    return np.asarray(cv2.resize(image.pixels, (width, height)), np.uint8)


def middle(face: Detection) -> tuple[float, float]:
    return face.x + face.width / 2, face.y + face.height / 2


def test_the_face_is_found_where_it_is(sample_image: Image) -> None:
    (face,) = run_detector(resized(sample_image, 320, 320))
    assert face.score > 0.9
    assert middle(face) == pytest.approx((139.5, 73.5), abs=1.5)
    assert (face.width, face.height) == pytest.approx((55, 69), abs=2)


def test_each_face_of_a_row_is_found_once_and_the_surest_first(sample_image: Image) -> None:
    sample = resized(sample_image, 300, 320)
    row = np.concatenate([sample, sample[:, ::-1], sample // 2], axis=1)
    faces = [face for face in run_detector(row) if face.score > 0.6]
    assert [face.score for face in faces] == sorted((f.score for f in faces), reverse=True)
    assert sorted(int(middle(face)[0] // 300) for face in faces) == [0, 1, 2]


@pytest.mark.parametrize(("below", "right"), [(0, 1), (1, 0), (17, 31)])
def test_sides_that_are_no_multiple_of_its_cells_change_nothing(
    sample_image: Image, below: int, right: int
) -> None:
    sample = resized(sample_image, 288, 288)
    wider = np.pad(sample, ((0, below), (0, right), (0, 0)))
    (face,), (other,) = run_detector(sample), run_detector(wider)
    assert other == pytest.approx(face, abs=0.5)


def test_nothing_is_found_where_nothing_is() -> None:
    assert run_detector(np.zeros((64, 48, 3), np.uint8)) == []
    assert run_detector(np.full((1, 1, 3), 255, np.uint8)) == []


def test_rows_that_do_not_follow_each_other_in_memory_are_read_right(sample_image: Image) -> None:
    wide = resized(sample_image, 640, 320)
    assert run_detector(wide[:, ::2]) == run_detector(np.ascontiguousarray(wide[:, ::2]))


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_memory_does_not_grow(sample_image: Image) -> None:
    picture = resized(sample_image, 640, 640)
    for _ in range(5):
        run_detector(picture)
    before = _anonymous_bytes()
    for _ in range(60):
        run_detector(picture)
    assert _anonymous_bytes() - before < 30 * picture.nbytes
