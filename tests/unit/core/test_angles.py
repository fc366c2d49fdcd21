"""How a head is turned, in the contract's words."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import F32, angles

AXES = {"x": 0, "y": 1, "z": 2}


def turn(axis: str, degrees: float) -> np.ndarray:
    """Right-handed rotation about a mesh axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = ((1, 2), (2, 0), (0, 1))[AXES[axis]]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def pose(rotation: np.ndarray, scale: float = 6.2) -> F32:
    """As the network gives it: mesh axes to crop axes, scaled and shifted."""
    to_crop = np.diag([1.0, -1.0, -1.0]) @ rotation * scale
    return np.asarray(np.c_[to_crop, [96.0, 100.0, 50.0]], np.float32)


@pytest.mark.parametrize("degrees", [-80, -30, 0, 45, 80])
@pytest.mark.parametrize(("axis", "place", "sign"), [("y", 0, 1), ("x", 1, -1), ("z", 2, 1)])
def test_each_angle_alone(axis: str, place: int, sign: int, degrees: float) -> None:
    expected = [0.0, 0.0, 0.0]
    expected[place] = sign * degrees
    np.testing.assert_allclose(angles(pose(turn(axis, degrees))), expected, atol=1e-3)


@pytest.mark.parametrize("scale", [0.5, 1.0, 40.0])
def test_scale_does_not_matter(scale: float) -> None:
    np.testing.assert_allclose(angles(pose(turn("y", 33), scale)), (33, 0, 0), atol=1e-3)


def test_words_of_the_contract() -> None:
    # Columns: where the head's left, up and forward point to in the crop.
    to_the_right = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0]], np.float32)
    assert angles(to_the_right)[0] == pytest.approx(90)
    looking_up = np.array([[1, 0, 0, 0], [0, -0.8, -0.6, 0], [0, 0.6, -0.8, 0]], np.float32)
    assert angles(looking_up)[1] == pytest.approx(36.87, abs=0.01)
    counter_clockwise = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 0]], np.float32)
    assert angles(counter_clockwise)[2] == pytest.approx(90)
