"""Reports: photos, hold-out and ablation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from protome.geometry import Box, Level
from protome.image import prepare
from protome.image.roll import Face as Found
from protome.model.engine import Prediction
from protome_export.cli import main
from protome_export.evaluation.ablation import true_volumes
from protome_export.evaluation.report import evaluate_holdout
from protome_export.evaluation.service import Served
from protome_export.training.checkpoint import make_network
from protome_export.training.dataset import Samples, draw_batch
from protome_export.training.geometry import umeyama
from protome_export.training.shape_space import Poser
from protome_export.training.shards import find_shards, read_shard
from tests.export.conftest import CONFIG
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
    assert len(rows) == 3
    assert all(0 <= float(r[2]) <= 1 for r in rows)
    # Two steps teach the guided network a pose; a volume of its own it has not learned.
    assert float(rows[2][2]) > float(rows[0][2])


def test_unguided_targets_are_the_heads_themselves(run: Path, poser: Poser) -> None:
    space = space_of(run)
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

    space = space_of(run)
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
