import importlib.util
from pathlib import Path

import numpy as np
import pytest

from protome_export.evaluation.metrics import (
    balanced,
    inner_nme,
    landmark_nme,
    logistic,
    ranking,
    surface_nme,
)

SHARED = Path(__file__).parents[4] / "shared" / "eval" / "surface_nme.py"


def _case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (68, 3)) * [1, 1, 0.5]
    surface = np.concatenate([points, rng.uniform(0, 100, (400, 3)) * [1, 1, 0.5]])
    return points, surface


def test_depth_offset_is_free_and_sideways_is_not() -> None:
    points, surface = _case()
    assert surface_nme(points, surface + np.array([0, 0, 37]))[0] < 0.005
    assert surface_nme(points, surface + np.array([15, 0, 0]))[0] > 0.03


def test_failures_count_one() -> None:
    points, _ = _case()
    assert surface_nme(points, None) == (1.0, 1.0)
    assert surface_nme(points, np.zeros((0, 3))) == (1.0, 1.0)
    assert landmark_nme(points, None) == 1.0


def test_landmark_nme_is_over_the_box() -> None:
    points, _ = _case()
    size = np.sqrt(np.prod(np.ptp(points[:, :2], axis=0)))
    assert landmark_nme(points, points + np.array([3, 4, 99])) == pytest.approx(5 / size)
    jaw = points.copy()
    jaw[:17] += 50
    assert inner_nme(points, jaw) == 0.0
    jaw[17:, 0] += 2
    assert inner_nme(points, jaw) == pytest.approx(2 / size)


def test_balanced_mean_weighs_bins_equally() -> None:
    yaw = np.array([0, 5, -10, 20, -45, 80])
    rows, mean = balanced(np.array([1, 1, 1, 1, 3, 8.0]), yaw)
    assert rows.tolist() == [1, 3, 8]
    assert mean == pytest.approx(4)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared metric")
def test_agrees_with_the_shared_metric() -> None:
    spec = importlib.util.spec_from_file_location("surface_nme", SHARED)
    assert spec is not None
    assert spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    points, surface = _case()
    moved = surface + np.array([2, 1, 30])
    assert surface_nme(points, moved) == pytest.approx(shared.surface_nme(points, moved))


def test_logistic_recovers_what_made_the_data() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 - 2 * x)))
    offset, slope = logistic(x, right)
    assert abs(offset - 0.5) < 0.1
    assert abs(slope + 2) < 0.1
    assert np.isfinite(logistic(np.array([-1.0, 1.0]), np.array([True, False]))).all()


def test_ranking() -> None:
    right = np.array([True, True, False])
    assert ranking(np.array([3.0, 2.0, 1.0]), right) == 1.0
    assert ranking(np.array([1.0, 1.0, 1.0]), right) == 0.5
    assert np.isnan(ranking(np.array([1.0]), np.array([True])))
