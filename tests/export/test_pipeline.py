"""The whole chain on the tiny head: generate, train, resume, export, evaluate, serve."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from protome.geometry import Box, Level, place
from protome.image import prepare
from protome.image.crop import cut
from protome.image.decode import Image
from protome.image.faces import Face as Found
from protome.model.engine import Prediction
from protome_export.cli import main
from protome_export.evaluation.ablation import true_volumes
from protome_export.evaluation.photos import to_crop, to_photo
from protome_export.evaluation.report import evaluate_holdout
from protome_export.evaluation.service import Served
from protome_export.release import onnx as release
from protome_export.release import parity
from protome_export.training.checkpoint import load_weights, make_network
from protome_export.training.config import dump_config
from protome_export.training.dataset import Samples, draw_batch
from protome_export.training.geometry import umeyama
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.shards import find_shards, read_shard
from protome_export.training.trainer import Trainer

from .conftest import CONFIG


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps; shards, hold-out and run folder inside."""
    folder = tmp_path_factory.mktemp("factory")
    main(["generate", "--count", "6", "--shard", "3", str(folder / "shards")])
    main(["generate", "--count", "5", "--seed", "900", str(folder / "holdout")])
    config = replace(
        CONFIG,
        shards=str(folder / "shards"),
        holdout=str(folder / "holdout"),
        out=str(folder / "run"),
    )
    dump_config(config, folder / "run.toml")
    main(["train", str(folder / "run.toml")])
    return folder


def _space(run: Path) -> ShapeSpace:
    return ShapeSpace.load(run / "run" / "space.npz")


def test_training_learns_logs_and_resumes(run: Path) -> None:
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    assert len((run / "run" / "log.csv").read_text().splitlines()) == 2  # header, one row
    config = replace(
        CONFIG,
        shards=str(run / "shards"),
        out=str(run / "longer"),
        steps=60,
        init=str(run / "run" / "checkpoint.pt"),
        rotate_degrees=0.5,
        zoom=0.01,
        move=0.5,
        covered=0.0,
        shaded=0.0,
    )
    trainer = Trainer(config)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.run()
    assert any(not torch.equal(before[k], v) for k, v in trainer.net.state_dict().items())
    rows = [r.split(",") for r in (run / "longer" / "log.csv").read_text().splitlines()]
    first = [r.split(",") for r in (run / "run" / "log.csv").read_text().splitlines()]
    assert float(rows[-1][4]) < 0.8 * float(first[1][4])  # the loss fell
    again = Trainer(replace(config, steps=61))
    assert again.step == 60
    again.run()
    assert torch.load(run / "longer" / "checkpoint.pt", weights_only=True)["step"] == 61


def test_training_makes_its_tensors_where_the_network_is(run: Path) -> None:
    """With another default device, whatever is made without naming one fails."""
    config = replace(CONFIG, shards=str(run / "shards"), holdout=str(run / "holdout"))
    trainer = Trainer(replace(config, out=str(run / "placed"), amp=True))
    with torch.device("meta"):
        trainer.run()
    assert trainer.step == 2


def test_blend_lies_between(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "run" / "checkpoint.pt"
    ours = torch.load(checkpoint, weights_only=True)["ema"]
    theirs = {k: v + 1 if v.dtype.is_floating_point else v for k, v in ours.items()}
    torch.save({"ema": theirs}, tmp_path / "other.pt")
    out = tmp_path / "out"
    main(["blend", str(run / "run"), str(tmp_path / "other.pt"), str(out), "--share", "0.25"])
    mixed = torch.load(out / "checkpoint.pt", weights_only=True)["ema"]
    for key, value in ours.items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(mixed[key], value.float() + 0.25)
    assert (out / "space.npz").read_bytes() == (run / "run" / "space.npz").read_bytes()


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    main(["export", str(run / "run"), "--count", "4", "--version", "0.0.1", str(run / "release")])
    return run / "release"


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
    network = make_network(CONFIG, _space(run)).eval()
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)
    load_weights(network, state["ema"])
    honest = release.write_onnx

    def tampered(net, served, path, half=True, trust=(0, 1, 1)):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            net.landmarks.maps.bias[70] += 0.3
        honest(net, served, path, half, trust)
        with torch.no_grad():
            net.landmarks.maps.bias[70] -= 0.3

    monkeypatch.setattr(release, "write_onnx", tampered)
    crops = np.full((2, 192, 192, 3), 90, np.uint8)
    served = _space(run).landmarks
    with pytest.raises(ValueError, match="strays"):
        release.export_model(network, served, tmp_path, crops, "x", "0", {})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_of_another_network_is_refused(run: Path) -> None:
    state = torch.load(run / "run" / "checkpoint.pt", weights_only=True)["ema"]
    del state["shape.out.bias"]
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(make_network(CONFIG, _space(run)), state)


def test_evaluation_of_photos_writes_a_report(
    run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = read_shard(find_shards(run / "holdout")[0])
    names, points = [], []
    for i in range(3):
        names.append(f"p{i}")
        cv2.imwrite(str(tmp_path / f"p{i}.png"), shard.images[i][..., ::-1])
        points.append(shard.labels.landmarks[i] * [1, 1, -1])
    np.savez(tmp_path / "truth.npz", names=names, points=points, yaw_degrees=[0.0, 40.0, 70.0])
    side = 192 / 2.06
    box = Box(96 - side / 2, 103 - side / 2 - 0.13 * side, side, side)
    answers = iter([[Found(box, 0.9)], [Found(box, 0.9)], []])
    monkeypatch.setattr(prepare, "detect", lambda image, min_score: next(answers))
    main(
        ["evaluate", str(exported), "--space", str(run / "run" / "space.npz"),
         "--photos", str(tmp_path), "--landmarks", str(tmp_path / "truth.npz"),
         "--holdout", str(run / "holdout"), "--count", "3", str(tmp_path / "report")]
    )  # fmt: skip
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    photos = report["photos"]["surface_nme_68"]
    assert photos["60-90"] == 1.0  # the photo without a face counts as a failure
    assert 0 < photos["0-30"] < 0.5
    assert 0 < report["synthetic"]["iou"] < 1
    assert (tmp_path / "report" / "worst.png").stat().st_size > 1000
    assert "1 without a face" in (tmp_path / "report" / "table.md").read_text()


def test_ablation_compares_with_an_unguided_volume(
    run: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shard = read_shard(find_shards(run / "holdout")[0])
    cv2.imwrite(str(tmp_path / "p0.png"), shard.images[0][..., ::-1])
    points = shard.labels.landmarks[:1] * [1, 1, -1]
    np.savez(tmp_path / "truth.npz", names=["p0"], points=points, yaw_degrees=[0.0])
    monkeypatch.setattr(
        prepare, "detect", lambda image, min_score: [Found(Box(50, 45, 90, 90), 0.9)]
    )
    main(
        ["ablate", str(run / "run"), str(exported), "--photos", str(tmp_path), "--landmarks",
         str(tmp_path / "truth.npz"), "--minutes", "0.001", "--count", "2"]
    )  # fmt: skip
    rows = [r.split("|") for r in capsys.readouterr().out.splitlines() if r.startswith("|")][2:]
    assert [r[1].strip() for r in rows][:2] == ["unguided volume, same trunk", "posed mean head"]
    assert len(rows) == 4
    assert all(0 <= float(r[2]) <= 1 for r in rows)
    # Two steps teach the guided network a pose; a volume of its own it has not learned.
    assert float(rows[2][2]) > float(rows[0][2])


def test_unguided_targets_are_the_heads_themselves(run: Path, poser: Poser) -> None:
    space = _space(run)
    network = make_network(CONFIG, space).eval()
    samples = Samples(run / "holdout", poser, space)
    samples.refresh()
    still = replace(CONFIG, rotate_degrees=0.0, zoom=0.0, move=0.0, borders=0.0)
    batch = draw_batch(samples, torch.Generator().manual_seed(0), still)
    volume = true_volumes(network, batch).numpy()
    marks = (batch.landmarks.numpy()[..., :2] / 2).astype(int).clip(0, 95)
    covered = [volume[b, :, m[:, 1], m[:, 0]].max(1) > 0.5 for b, m in enumerate(marks)]
    assert np.mean(covered) > 0.8


def test_holdout_scores_the_truth_as_perfect(run: Path, poser: Poser) -> None:
    """A model that answers with the truth has IoU 1, so the comparison itself is right."""
    from protome_export.render.raster import solid_occupancy

    space = _space(run)
    shard = read_shard(find_shards(run / "holdout")[0])
    answers = []
    for i in range(2):
        v = poser.crop_frame(shard.labels, np.array([i]))[0]
        # The mean head, turned as this one is, begins at 4 px; the head itself not before 1.
        pose = umeyama(
            torch.from_numpy(shard.labels.landmarks[i : i + 1].astype(np.float32)),
            torch.from_numpy(space.canonical68),
        )
        r, s, t = (part[0].numpy() for part in pose)
        shift = max(4 - (s * space.mean @ r.T + t)[:, 2].min(), 1 - v[:, 2].min())
        occupancy = solid_occupancy(v + np.array([0, 0, shift]), space.triangles)
        answers.append((occupancy, shard.labels.landmarks[i] + np.array([0, 0, shift])))
    turn = iter(answers)

    class Oracle(Served):
        def __init__(self) -> None:
            pass

        def predict(self, crop: np.ndarray, *_: Level) -> Prediction:
            occupancy, landmarks = next(turn)
            return Prediction({Level.STANDARD: (occupancy * 255 + 0.5).astype(np.uint8)}, landmarks)

    scores = evaluate_holdout(Oracle(), run / "holdout", poser, space, 2)
    assert scores["iou"] > 0.995
    assert scores["landmark_3d_px"] < 1e-3
    assert scores["front_depth_px"] < 0.05
    assert scores["surface_distance_px"] < 1.2


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


def test_preview_and_pack_commands(tmp_path: Path) -> None:
    main(["preview", "--count", "3", str(tmp_path / "sheet.png")])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (192, 8 * 192, 3)
    assert sheet[:, :576].std() > 10
    with pytest.raises(SystemExit):
        main(["nothing"])
