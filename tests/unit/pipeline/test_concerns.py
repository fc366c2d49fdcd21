"""Concerns about a face."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import CROP_SIDE, F32, Frame
from protome.pipeline.concerns import Concern, concerns

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
        "covered": False,
    }
    return concerns(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_good_face_raises_no_concern() -> None:
    assert judged() == []
    assert judged(landmarks=None, pose=None, confidence=None) == []
    assert judged(pixel=0.38) == []


@pytest.mark.parametrize(
    ("changes", "concern"),
    [
        ({"pixel": 0.37}, Concern.FEW_PIXELS),
        ({"pose": turned(80)}, Concern.EXTREME_POSE),
        ({"pose": turned(-80)}, Concern.EXTREME_POSE),
        ({"frame": Frame(0, 0, 120, CROP_SIDE)}, Concern.CUT_BY_BORDER),
        ({"blur": 0.81}, Concern.BLURRED),
        ({"confidence": 0.3}, Concern.LOW_CONFIDENCE),
        ({"covered": True}, Concern.COVERED),
    ],
)
def test_each_concern(changes: dict[str, object], concern: Concern) -> None:
    assert judged(**changes) == [concern]


def test_a_blurred_or_cut_face_is_not_said_to_be_covered() -> None:
    assert judged(covered=True, blur=0.81) == [Concern.BLURRED]
    cut = Frame(0, 0, 120, CROP_SIDE)
    assert judged(covered=True, frame=cut) == [Concern.CUT_BY_BORDER]


def test_a_half_turned_face_is_fine() -> None:
    assert judged(pose=turned(45)) == []
