"""Confidence of a face."""

from __future__ import annotations

import numpy as np
import pytest

from protome.confidence import ErrorCalibration
from protome.geometry import F32


def landmarks() -> F32:
    points = np.zeros((68, 3), np.float32)
    points[:, 0] = np.linspace(50, 140, 68)
    points[:, 1] = np.linspace(60, 150, 68)
    return points


def test_confidence_falls_with_the_expected_error() -> None:
    calibration = ErrorCalibration(offset=-6.0, slope=-2.0, within=0.04)
    points = landmarks()
    values = [
        calibration.confidence(points, np.full(68, px, np.float32)) for px in (1.0, 3.0, 9.0, 60.0)
    ]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < values[0] < 1
    # Relative to the face: twice the face with twice the error is as good.
    twice = calibration.confidence(points * 2, np.full(68, 6.0, np.float32))
    assert twice == pytest.approx(values[1])


def test_degenerate_predictions_do_not_break_it() -> None:
    calibration = ErrorCalibration(offset=-6.0, slope=-2.0, within=0.04)
    points = np.zeros((68, 3), np.float32)
    assert 0 <= calibration.confidence(points, np.zeros(68, np.float32)) <= 1
