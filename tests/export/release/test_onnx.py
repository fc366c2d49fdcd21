"""The exported network against the one that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from protome.geometry import Box, Level, place
from protome.image.crop import cut
from protome.image.decode import Image
from protome_export.evaluation.photos import to_crop, to_photo
from protome_export.evaluation.service import Served
from protome_export.release import onnx as release
from protome_export.release import parity
from protome_export.training.checkpoint import load_weights, make_network
from tests.export.conftest import CONFIG
from tests.export.runs import space_of


def test_exported_model_serves(run: Path, exported: Path) -> None:
    card = json.loads((exported / "model.json").read_text())
    import hashlib

    digest = hashlib.sha256((exported / "model.onnx").read_bytes()).hexdigest()
    assert card["digest"] == digest
    report = json.loads((exported / "parity.json").read_text())
    assert min(r["iou"] for r in report["rows"]) >= 0.998
    session = ort.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 3):
        crops = np.random.default_rng(n).integers(0, 255, (n, 192, 192, 3)).astype(np.uint8)
        rows = np.arange(n - 1)
        occupancy, fine, landmarks, pose, error = session.run(
            None, {"crops": crops, "fine_rows": rows}
        )
        assert fine.shape == (n - 1, 200, 192, 192)
        assert fine.dtype == np.uint8
        assert occupancy.shape == (n, 100, 96, 96)
        assert occupancy.dtype == np.uint8
        assert landmarks.shape == (n, 68, 3)
        assert landmarks.dtype == np.float32
        assert error.shape == (n, 68)
        assert error.dtype == np.float32
        assert pose.shape == (n, 3, 4)
        assert pose.dtype == np.float32
        assert occupancy.max() > 200
        assert occupancy[:, 0].max() == 0
        nearest = occupancy.reshape(n, 100, -1).max(2).argmax(1)
        assert (np.abs(nearest - 3) <= 3).all()
    stored = onnx.load(str(exported / "model.onnx"))
    wide = [t.name for t in stored.graph.initializer
            if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) >= 1024]  # fmt: skip
    assert wide == []


def test_fine_volume_is_the_same_head(exported: Path) -> None:
    crop = np.random.default_rng(3).integers(0, 255, (192, 192, 3)).astype(np.uint8)
    model = Served(exported)
    fine = model.predict(crop, Level.FINE).volumes[Level.FINE]
    pooled = fine.reshape(100, 2, 96, 2, 96, 2).mean((1, 3, 5)) > 127
    standard = model.predict(crop).volumes[Level.STANDARD] > 127
    assert (pooled & standard).sum() / (pooled | standard).sum() > 0.97


def test_fine_is_of_the_rows_that_ask_for_it(exported: Path) -> None:
    session = ort.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    crops = np.random.default_rng(5).integers(0, 255, (3, 192, 192, 3)).astype(np.uint8)
    ask = ["fine"]
    (both,) = session.run(ask, {"crops": crops, "fine_rows": np.array([2, 0])})
    for row, fine in zip((2, 0), both, strict=True):
        (alone,) = session.run(ask, {"crops": crops[[row]], "fine_rows": np.array([0])})
        assert np.abs(alone[0].astype(int) - fine).max() <= 1
    assert (both[0] != both[1]).mean() > 0.001


def test_widened_model_has_no_half(exported: Path) -> None:
    model = parity.widen(onnx.load(str(exported / "model.onnx")))
    onnx.checker.check_model(model, full_check=True)
    kinds = {t.data_type for t in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in kinds


def test_gate_refuses_a_model_that_strays(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(CONFIG, space_of(run)).eval()
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)
    load_weights(network, state["ema"])
    honest = release.write_onnx

    def tampered(net, served, path, half=True, trust=(0, 1)):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            net.landmarks.maps.bias[70] += 0.3
        honest(net, served, path, half, trust)
        with torch.no_grad():
            net.landmarks.maps.bias[70] -= 0.3

    monkeypatch.setattr(release, "write_onnx", tampered)
    crops = np.full((2, 192, 192, 3), 90, np.uint8)
    served = space_of(run).landmarks
    with pytest.raises(ValueError, match="deviates"):
        release.export_model(network, served, tmp_path, crops, "x", "0", {})
    assert list(tmp_path.iterdir()) == []


def test_crop_rule_and_its_way_back() -> None:
    placement = place(Box(40, 50, 80, 100), release.CROP_RULE)
    assert np.allclose(to_crop(np.array([[80, 100 + 13]]), placement), [[96, 103]], atol=1e-4)
    photo = np.zeros((300, 240, 3), np.uint8)
    photo[110:114, 78:82] = 255
    crop = cut(Image(photo, 240, 300), placement)[..., 0].astype(float)
    y, x = np.mgrid[0:192, 0:192] + 0.5
    seen = np.array([(crop * x).sum(), (crop * y).sum(), 0]) / crop.sum()
    assert np.allclose(to_photo(seen[None], placement)[0, :2], [80, 112], atol=0.3)
    assert crop[:, :2].max() == 0  # outside of the photo: black


@pytest.mark.parametrize("roll", [0.0, 90.0, -37.5])
def test_points_of_a_turned_crop_go_to_the_photo_and_back(roll: float) -> None:
    placement = place(Box(40, 50, 80, 100), release.CROP_RULE, roll)
    points = np.random.default_rng(1).uniform(0, 192, (20, 3))
    photo = to_photo(points, placement)
    assert np.allclose(to_crop(photo, placement), points[:, :2], atol=1e-3)
    matrix = placement.crop_to_photo()
    assert np.allclose(photo[:, :2], (points @ matrix[:3, :3].T + matrix[:3, 3])[:, :2], atol=1e-3)
