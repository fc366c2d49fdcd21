"""The detector, called past its wrapper: the same answers, and memory that stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from protome.geometry import U8
from protome.image.decode import Image
from protome.image.detector import _library, _wrapped, run_detector


def resized(image: Image, width: int, height: int) -> U8:
    return np.asarray(cv2.resize(image.pixels, (width, height)), np.uint8)


def test_the_library_is_found() -> None:
    assert _library() is not None


def test_it_answers_what_the_wrapper_answers(sample_image: Image) -> None:
    sample = resized(sample_image, 300, 320)
    row = np.concatenate([sample, sample[:, ::-1], sample // 2], axis=1)
    for picture in (sample, row, resized(sample_image, 97, 131), np.zeros((64, 48, 3), np.uint8)):
        assert sorted(run_detector(picture)) == sorted(_wrapped(picture))
    assert len(run_detector(row)) >= 2


def test_rows_that_do_not_follow_each_other_in_memory_are_read_right(sample_image: Image) -> None:
    wide = resized(sample_image, 640, 320)
    assert run_detector(wide[:, ::2]) == run_detector(np.ascontiguousarray(wide[:, ::2]))


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_memory_does_not_grow(sample_image: Image) -> None:
    picture = resized(sample_image, 640, 640)
    for _ in range(3):
        run_detector(picture)
    before = _anonymous_bytes()
    for _ in range(30):
        run_detector(picture)
    assert _anonymous_bytes() - before < 10 * picture.nbytes
