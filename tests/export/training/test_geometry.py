import numpy as np
import pytest
import torch

from protome_export.heads.pose import rotation
from protome_export.training.geometry import umeyama
from protome_export.training.shape_space import ShapeSpace, similarity


@pytest.mark.parametrize("angles", [(0, 0, 0), (88, 10, -20), (-95, -30, 40), (40, 35, 10)])
def test_umeyama_recovers_a_pose(space: ShapeSpace, angles: tuple[float, float, float]) -> None:
    c = space.canonical68
    r, s, t = rotation(*angles), 6.7, np.array([90, 110, -4], np.float32)
    points = (s * c @ r.T + t).astype(np.float32)
    got = umeyama(torch.from_numpy(points[None]), torch.from_numpy(c))
    assert np.abs(got[0][0].numpy() - r).max() < 1e-4
    assert abs(float(got[1]) - s) < 1e-3
    assert np.abs(got[2][0].numpy() - t).max() < 1e-2


def test_umeyama_is_the_least_squares_fit(space: ShapeSpace) -> None:
    rng = np.random.default_rng(2)
    r = rotation(50, 10, -5)
    points = 6 * space.canonical68 @ r.T + rng.normal(0, 4, (5, 68, 3))
    points = points.astype(np.float32)
    want = similarity(points, space.canonical68)
    got = umeyama(torch.from_numpy(points), torch.from_numpy(space.canonical68))
    for a, b in zip(want, got, strict=True):
        assert np.abs(a - b.numpy()).max() < 2e-3


def test_umeyama_weighs_landmarks(space: ShapeSpace) -> None:
    """One that is far off counts for nothing without weight; each head may have its own shape."""
    rng = np.random.default_rng(3)
    own = space.canonical68 + rng.normal(0, 0.4, (2, 68, 3))
    r, t = rotation(-30, 12, 8), np.array([80, 90, 5])
    points, weights = 6.0 * own @ r.T + t, np.ones((2, 68))
    points[:, 5] += 40
    weights[:, 5] = 0
    given = [torch.from_numpy(a.astype(np.float32)) for a in (points, own, weights)]
    got = umeyama(*given)
    assert np.abs(got[0].numpy() - r).max() < 1e-4
    assert np.abs(got[1].numpy() - 6.0).max() < 1e-3
    assert np.abs(got[2].numpy() - t).max() < 1e-2
    assert np.abs(umeyama(given[0], given[1])[0].numpy() - r).max() > 1e-3
