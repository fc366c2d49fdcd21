"""Confidence and concerns of a face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from protome.confidence import Concern, Reliance, blur_effect, concerns
from protome.geometry import CROP_SIDE, F32, Frame

WHOLE = Frame()
POSE = np.array([[6.2, 0, 0, 96], [0, -6.2, 0, 96], [0, 0, -6.2, 50]], np.float32)


def landmarks(left: float = 50, right: float = 140) -> F32:
    points = np.zeros((68, 3), np.float32)
    points[:, 0] = np.linspace(left, right, 68)
    points[:, 1] = np.linspace(60, 150, 68)
    return points


def turned(yaw: float) -> F32:
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    pose = POSE.copy()
    pose[:, :3] = POSE[:, :3] @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
    return pose


def judged(**changes: object) -> list[Concern]:
    facts: dict[str, object] = {
        "pixel": 1.0,
        "blur": 0.4,
        "frame": WHOLE,
        "landmarks": landmarks(),
        "pose": POSE,
        "confidence": 0.9,
    }
    return concerns(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_good_face_raises_no_concern() -> None:
    assert judged() == []
    assert judged(landmarks=None, pose=None, confidence=None) == []


@pytest.mark.parametrize(
    ("changes", "concern"),
    [
        ({"pixel": 0.3}, Concern.FEW_PIXELS),
        ({"pose": turned(80)}, Concern.EXTREME_POSE),
        ({"pose": turned(-80)}, Concern.EXTREME_POSE),
        ({"frame": Frame(0, 0, 120, CROP_SIDE)}, Concern.CUT_BY_BORDER),
        ({"blur": 0.8}, Concern.BLURRED),
        ({"confidence": 0.3}, Concern.LOW_CONFIDENCE),
    ],
)
def test_each_concern(changes: dict[str, object], concern: Concern) -> None:
    assert judged(**changes) == [concern]


def test_a_half_turned_face_is_fine() -> None:
    assert judged(pose=turned(45)) == []


def test_blur_is_told_from_sharp_and_from_low_contrast() -> None:
    face = np.ascontiguousarray(data.astronaut()[0:192, 128:320])  # type: ignore[no-untyped-call]
    soft = np.asarray(cv2.GaussianBlur(face, (0, 0), 3), np.uint8)
    pale = (face // 4 + 96).astype(np.uint8)
    assert blur_effect(face) < 0.6
    assert blur_effect(pale) < 0.65
    assert blur_effect(soft) > 0.75
    assert 0 <= blur_effect(np.zeros_like(face)) <= 1


def test_confidence_falls_with_the_expected_error() -> None:
    reliance = Reliance(offset=-6.0, slope=-2.0, within=0.04)
    points = landmarks()
    values = [
        reliance.confidence(points, np.full(68, px, np.float32)) for px in (1.0, 3.0, 9.0, 60.0)
    ]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < values[0] < 1
    # Relative to the face: twice the face with twice the error is as good.
    twice = reliance.confidence(points * 2, np.full(68, 6.0, np.float32))
    assert twice == pytest.approx(values[1])


def test_degenerate_predictions_do_not_break_it() -> None:
    reliance = Reliance(offset=-6.0, slope=-2.0, within=0.04)
    points = np.zeros((68, 3), np.float32)
    assert 0 <= reliance.confidence(points, np.zeros(68, np.float32)) <= 1
