"""Measures of surfaces, on shapes whose figures are known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from protome.mesh.shape.surface import Surface
from protome_export.evaluation.surfaces import flat_area, roughness, silhouette
from tests.support.shapes import balls, head_of

SHARED = Path(__file__).parents[4] / "shared" / "eval" / "silhouette_iou.py"


def _surface(vertices: np.ndarray, triangles: np.ndarray) -> Surface:
    count = len(vertices)
    return Surface(
        vertices.astype(np.float32),
        np.zeros((count, 3), np.float32),
        triangles.astype(np.uint32),
        np.zeros(count, np.int32),
        np.zeros((count, 2), np.float32),
        head_of(triangles),
        vertices.astype(np.float32),
    )


def _ball() -> Surface:
    head, vertices = balls((72.0, (80.0, 80.0, 80.0)), finer=5)
    return _surface(vertices, head.triangles)


def test_noise_is_rough_and_a_ball_is_not() -> None:
    ball = _ball()
    smooth = roughness(ball)
    assert smooth[0] <= smooth[1] < 0.25
    noise = np.random.default_rng(0).choice([-0.31, 0.31], len(ball.vertices))  # px: 0.5 mm
    out = (ball.vertices - 80) / 72
    rough = roughness(_surface(ball.vertices + out * noise[:, None], ball.triangles))
    assert 0.4 < rough[0] < 0.6
    front = ball.vertices[:, 2] < 60
    half = ball.vertices + out * np.where(front, 0, noise)[:, None]
    assert roughness(_surface(half, ball.triangles))[0] < 0.25  # what is behind does not count


def test_a_cut_is_flat_and_the_neck_s_end_is_left_out() -> None:
    ball = _ball()
    assert flat_area(ball) < 1
    for axis, limit, sign, flat in (
        (2, 120.0, 1, True), (0, 40.0, -1, True), (1, 40.0, -1, True), (1, 120.0, 1, False),
    ):  # fmt: skip
        v = ball.vertices.copy()
        v[:, axis] = sign * np.minimum(sign * v[:, axis], sign * limit)
        area = flat_area(_surface(v, ball.triangles))
        # The ball's middle is at 80, its radius 72 px: the disc 40 px from it.
        assert (area == pytest.approx(np.pi * (72**2 - 40**2) / 6.2**2, rel=0.05)) == flat
        assert flat or area < 1


def _case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).uniform([60, 80], [140, 160], (68, 2))
    points[8], points[27] = (100, 160), (100, 100)
    person = np.zeros((200, 200), bool)
    person[40:190, 60:140] = True
    photo = np.full((200, 200, 3), 90, np.uint8)
    photo[:, :70] = 0  # a black border
    square = np.array([[80, 60], [150, 60], [150, 180], [80, 180]], float)
    return points, person, photo, square, np.array([[0, 1, 2], [0, 2, 3]])


def test_silhouette_is_judged_above_the_chin_and_inside_the_photo() -> None:
    points, person, photo, square, triangles = _case()
    found = silhouette(points, person, photo, square, triangles)
    # Rows 60 ... 159 of the mesh and 40 ... 159 of the person, from column 70 on.
    both, mesh, there = 100 * 60, 100 * 71, 120 * 70
    assert found.iou == pytest.approx(both / (mesh + there - both), abs=0.02)
    assert found.outside == pytest.approx((mesh - both) / mesh, abs=0.02)
    assert found.missing == pytest.approx((there - both) / there, abs=0.02)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared measure")
def test_agrees_with_the_shared_measure() -> None:
    spec = importlib.util.spec_from_file_location("silhouette_iou", SHARED)
    assert spec is not None
    assert spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    case = _case()
    found = silhouette(*case)
    assert (found.iou, found.outside, found.missing) == pytest.approx(shared.silhouette_iou(*case))
