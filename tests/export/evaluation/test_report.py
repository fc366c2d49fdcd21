"""Reports: photos and hold-out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from protome.geometry import Box
from protome.image import prepare
from protome.image.roll import Face as Found
from protome.model.engine import Prediction
from protome_export.cli import main
from protome_export.evaluation.holdout import hair_iou, held_out
from protome_export.evaluation.report import evaluate_holdout
from protome_export.evaluation.service import Served
from protome_export.release.onnx import CROP_RULE
from protome_export.training.geometry import LEAST, NEAREST
from protome_export.training.shape_space import Poser
from protome_export.training.shards import find_shards, read_shard
from tests.export.runs import space_of


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
    people = np.zeros((2, 208, 208), bool)
    people[:, 20:190, 40:170] = True
    np.savez(tmp_path / "people.npz", names=["p0", "p2"], height=208, width=208,
             packed=np.packbits(people.reshape(2, -1), axis=1))  # fmt: skip
    side = 208 / CROP_RULE.side
    box = Box(104 - side / 2, 119 - side / 2 - 0.13 * side, side, side)
    answers = iter([[Found(box, 0.9)], [Found(box, 0.9)], []])
    monkeypatch.setattr(prepare, "detect", lambda image, min_score: next(answers))
    main(
        ["evaluate", str(exported), "--space", str(run / "run" / "space.npz"),
         "--photos", str(tmp_path), "--landmarks", str(tmp_path / "truth.npz"),
         "--masks", str(tmp_path / "people.npz"),
         "--holdout", str(run / "holdout"), "--count", "3", str(tmp_path / "report")]
    )  # fmt: skip
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    photos = report["photos"]["surface_nme_68"]
    assert photos["60-90"] == 1.0  # the photo without a face counts as a failure
    assert 0 < photos["0-30"] < 0.5
    outline = report["photos"]["silhouette_iou"]
    assert 0 < outline["0-30"] < 1
    assert outline["30-60"] is None  # it has no mask
    assert outline["60-90"] == 0  # not found
    assert report["photos"]["silhouette_missing"]["60-90"] == 1
    assert 0 < report["photos"]["rough_p50_mm"]["0-30"] < 5
    assert report["photos"]["flat_cm2"]["60-90"] is None
    assert 0 < report["synthetic"]["outline_iou"] < 1
    assert report["synthetic"]["back_depth_px"] > 0
    assert (tmp_path / "report" / "worst.png").stat().st_size > 1000
    assert "1 without a face" in (tmp_path / "report" / "table.md").read_text()


def test_holdout_scores_the_truth_as_perfect(run: Path, exported: Path, poser: Poser) -> None:
    """A model that answers with the truth makes no error, so the comparison itself is right."""
    path = find_shards(run / "holdout")[0]
    samples = list(held_out(path, poser, space_of(run), 2))
    assert all(abs(s.vertices[:, 2].min() - NEAREST) < NEAREST - LEAST + 1e-3 for s in samples)
    marks = read_shard(path).labels.landmarks
    assert np.allclose(samples[0].vertices[poser.solid.landmarks, :2], marks[0, :, :2], atol=0.05)
    turn = iter(samples)

    class Oracle(Served):
        def predict(self, crop: np.ndarray) -> Prediction:
            sample = next(turn)
            assert np.array_equal(crop, sample.crop)
            landmarks = sample.vertices[poser.solid.on_jaw]
            return Prediction(sample.vertices, sample.hair, landmarks)

    scores = evaluate_holdout(Oracle(exported), run / "holdout", poser, space_of(run), 2)
    assert scores["outline_iou"] == 1
    assert scores["hair_iou"] in (1, None)
    for name in ("front_depth_px", "back_depth_px", "vertex_px", "landmark_3d_px"):
        assert scores[name] == pytest.approx(0, abs=1e-3)


def test_hair_counts_outside_of_the_skull_only() -> None:
    grid = np.zeros((42, 52, 52), np.uint8)
    true, found, skull = grid.copy(), grid.copy(), grid.copy()
    assert hair_iou(true, found, skull) is None
    true[:, :10, :10] = 255
    found[:, :10, :5] = 255
    assert hair_iou(true, found, skull) == pytest.approx(0.5)
    skull[:, :, 5:] = 255
    assert hair_iou(true, found, skull) == 1
