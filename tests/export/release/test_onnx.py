"""The exported network against the one that was trained."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from protome.geometry import Box, place
from protome.image.crop import cut
from protome.image.decode import Image
from protome.mesh.shape.head import Head, load_head
from protome_export.cli import main
from protome_export.evaluation.photos import to_crop, to_photo
from protome_export.evaluation.service import Served
from protome_export.heads.model import HeadModel
from protome_export.heads.solid import build_solid
from protome_export.release import onnx as release
from protome_export.release.calibration import Calibration
from protome_export.release.head_file import describe_head
from protome_export.release.served import OUTPUTS, ServedNet
from protome_export.training.finder.trainer import load_finder
from protome_export.training.geometry import NEAREST
from protome_export.training.joined import JoinedNet
from protome_export.training.reader.run import load_run
from tests.export.runs import space_of


def test_exported_model_serves(exported: Path) -> None:
    card = json.loads((exported / "model.json").read_text())
    for name, digest in (
        ("model.onnx", card["digest"]),
        ("head.npz", card["head"]["sha256"]),
    ):
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest
    report = json.loads((exported / "parity.json").read_text())
    assert max(r["worst"] for r in report["rows"]) <= release.MAX_DISTANCE
    head = load_head(exported / "head.npz")
    count = len(head.mirror)
    assert head.triangles.max() == count - 1
    session = ort.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 3):
        crops = np.random.default_rng(n).integers(0, 255, (n, 208, 208, 3)).astype(np.uint8)
        outputs = dict(zip(OUTPUTS, session.run(None, {"crops": crops}), strict=True))
        for name, part in outputs.items():
            described = card[name]
            assert described["name"] == name
            assert [n, *described["shape"][1:]] == list(part.shape)
            assert described["dtype"] == part.dtype
        nearest = outputs["vertices"][..., 2].min(1)
        assert (np.abs(nearest - NEAREST) < 8).all()
    stored = onnx.load(str(exported / "model.onnx"))
    wide = [t.name for t in stored.graph.initializer
            if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) >= 4096]  # fmt: skip
    assert wide == []


def test_exported_model_makes_a_surface(exported: Path) -> None:
    served = Served(exported)
    crop = np.random.default_rng(3).integers(0, 255, (208, 208, 3)).astype(np.uint8)
    surface = served.surface(served.predict(crop))
    assert surface is not None
    size = np.ptp(surface.vertices, axis=0)
    assert (size > 60).all()
    assert (size < 260).all()


@pytest.fixture
def network(run: Path) -> JoinedNet:
    reader, _, _ = load_run(run / "run")
    return JoinedNet(load_finder(run / "finder"), reader).eval()


def test_gate_refuses_a_model_that_strays(
    exported: Path,
    network: JoinedNet,
    head: HeadModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def written_before(_: ServedNet, path: Path) -> None:
        shutil.copy(exported / "model.onnx", path)

    monkeypatch.setattr(release, "write_onnx", written_before)
    calibration = Calibration.load(exported / "calibration.json")
    crops = np.full((2, 208, 208, 3), 90, np.uint8)
    marks, described = build_solid(head).on_jaw, describe_head(head)

    def export(folder: Path) -> None:
        release.export_model(network, marks, described, folder, crops, "x", "0", {}, calibration)

    export(tmp_path / "same")
    with torch.no_grad():
        network.reader.landmarks.maps.bias[70] += 0.3  # type: ignore[index]
    with pytest.raises(ValueError, match="deviates"):
        export(tmp_path / "strayed")
    assert list((tmp_path / "strayed").iterdir()) == []


def test_refuses_another_head(run: Path, network: JoinedNet, tmp_path: Path) -> None:
    other = Head(*(np.zeros(0) for _ in Head.__dataclass_fields__))  # type: ignore[arg-type]
    crops = np.zeros((1, 208, 208, 3), np.uint8)
    with pytest.raises(ValueError, match="head has 0"):
        release.export_model(
            network, space_of(run).landmarks, other, tmp_path / "out", crops, "x", "0", {}
        )
    assert not (tmp_path / "out").exists()


def test_refuses_weights_for_other_triangles(run: Path, tmp_path: Path) -> None:
    """As many vertices are not enough: in another order, the mesh would be torn."""
    shutil.copytree(run / "run", tmp_path / "run")
    space = space_of(run)
    replace(space, triangles=space.triangles[::-1]).save(tmp_path / "run" / "space.npz")
    with pytest.raises(ValueError, match="another head"):
        main(["export", str(tmp_path / "run"), str(run / "finder"), str(tmp_path / "release"),
              "--count", "1"])  # fmt: skip
    assert not (tmp_path / "release").exists()


def test_a_calibration_is_measured_or_given(run: Path, exported: Path, tmp_path: Path) -> None:
    measured = Calibration.load(exported / "calibration.json")
    assert np.isfinite([measured.constant, measured.factor]).all()
    assert measured.offsets is not None
    Calibration(3.25, 0.0).save(tmp_path / "given.json")
    main(["export", str(run / "run"), str(run / "finder"), str(tmp_path / "release"), "--count",
          "1", "--calibration", str(tmp_path / "given.json")])  # fmt: skip
    served = Served(tmp_path / "release")
    error = served.predict(np.zeros((208, 208, 3), np.uint8)).landmark_error
    assert error is not None
    assert np.allclose(error, 3.25)


def test_crop_rule_and_its_way_back() -> None:
    placement = place(Box(40, 50, 80, 100), release.CROP_RULE)
    assert np.allclose(to_crop(np.array([[80, 100 + 13]]), placement), [[104, 119]], atol=1e-4)
    photo = np.zeros((300, 240, 3), np.uint8)
    photo[110:114, 78:82] = 255
    crop = cut(Image(photo, 240, 300), placement)[..., 0].astype(float)
    y, x = np.mgrid[0:208, 0:208] + 0.5
    seen = np.array([(crop * x).sum(), (crop * y).sum(), 0]) / crop.sum()
    assert np.allclose(to_photo(seen[None], placement)[0, :2], [80, 112], atol=0.3)
    assert crop[:, :2].max() == 0  # outside of the photo: black


@pytest.mark.parametrize("roll", [0.0, 90.0, -37.5])
def test_points_of_a_turned_crop_go_to_the_photo_and_back(roll: float) -> None:
    placement = place(Box(40, 50, 80, 100), release.CROP_RULE, roll)
    points = np.random.default_rng(1).uniform(0, 208, (20, 3))
    photo = to_photo(points, placement)
    assert np.allclose(to_crop(photo, placement), points[:, :2], atol=1e-3)
    matrix = placement.crop_to_photo()
    assert np.allclose(photo[:, :2], (points @ matrix[:3, :3].T + matrix[:3, 3])[:, :2], atol=1e-3)
