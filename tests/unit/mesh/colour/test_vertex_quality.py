"""Seen or guessed, and the confidence of each vertex."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from protome.confidence import ErrorCalibration, ExpectedError
from protome.geometry import F32, Frame
from protome.mesh.colour.vertex_quality import GUESSED, VertexQuality, rate_vertices
from protome.mesh.shape.surface import Surface
from tests.support.shapes import CENTRE, seeded, sphere

WHOLE = Frame()
RELIANCE = ErrorCalibration(offset=-6.0, slope=-2.0, within=0.04)


@pytest.fixture(scope="module")
def ball() -> Surface:
    return sphere(40.0)


def front(surface: Surface, cosine: float = 0.6) -> np.ndarray:
    return surface.normals[:, 2] < -cosine


def marks(surface: Surface) -> F32:
    """68 points on the front of the surface."""
    spots = surface.vertices[front(surface)]
    chosen: F32 = spots[np.linspace(0, len(spots) - 1, 68).astype(int)]
    return chosen


def expecting(surface: Surface, error: float | F32) -> ExpectedError:
    return ExpectedError(marks(surface), np.full(68, error, np.float32), RELIANCE)


def near(surface: Surface, point: F32) -> int:
    return int(np.linalg.norm(surface.vertices - point, axis=1).argmin())


def test_without_a_model_that_tells_it_is_what_the_photo_shows(ball: Surface) -> None:
    quality = rate_vertices(ball, WHOLE)
    assert set(np.unique(quality.seen)) == {0, 1}
    assert quality.seen[front(ball)].min() == 1
    assert quality.confidence[front(ball)].min() > 0.95
    back = ball.normals[:, 2] > 0
    assert quality.seen[back].max() == 0
    np.testing.assert_array_equal(quality.confidence[back], np.float32(GUESSED))
    assert quality.confidence[quality.seen == 1].min() >= GUESSED


def test_outside_of_the_photo_there_is_no_confidence(ball: Surface) -> None:
    for expected in (None, expecting(ball, 1.0)):
        quality = rate_vertices(ball, Frame(right=CENTRE[0]), expected)
        beyond = ball.vertices[:, 0] > CENTRE[0]
        assert quality.confidence[beyond].max() == 0
        assert quality.seen[beyond].max() == 0
        assert quality.confidence[~beyond].min() > 0


@pytest.mark.parametrize("error", [0.5, 3.0, 20.0])
def test_at_the_landmarks_it_is_the_faces_own(ball: Surface, error: float) -> None:
    expected = expecting(ball, error)
    quality = rate_vertices(ball, WHOLE, expected)
    at = [near(ball, mark) for mark in expected.landmarks]
    clear = rate_vertices(ball, WHOLE).confidence[at]
    # Squared distances in float32 leave some 0.02 px.
    np.testing.assert_allclose(quality.confidence[at], expected.confidence * clear, rtol=2e-3)


def test_it_falls_with_the_expected_error(ball: Surface) -> None:
    steps = [
        rate_vertices(ball, WHOLE, expecting(ball, px)).confidence for px in (0.5, 2.0, 8.0, 32.0)
    ]
    for better, worse in itertools.pairwise(steps):
        assert (better > worse).all()


def test_one_bad_landmark_spoils_its_surroundings_most(ball: Surface) -> None:
    expected = expecting(ball, 2.0)
    worse = expected.error.copy()
    worse[10] = 40.0
    before = rate_vertices(ball, WHOLE, expected).confidence
    after = rate_vertices(ball, WHOLE, replace(expected, error=worse)).confidence
    left = after / before
    assert left.max() <= 1
    assert left[near(ball, expected.landmarks[10])] < 0.1
    away = np.linalg.norm(expected.landmarks - expected.landmarks[10], axis=1)
    others = [near(ball, mark) for mark in expected.landmarks[away > 20]]
    assert len(others) > 20
    assert left[others].min() > 0.9


def test_it_falls_with_the_distance_from_the_landmarks(ball: Surface) -> None:
    expected = expecting(ball, 3.0)
    quality = rate_vertices(ball, WHOLE, expected)
    back = ball.normals[:, 2] > 0.2
    away = np.linalg.norm(ball.vertices[back, None] - expected.landmarks[None], axis=2).min(axis=1)
    fits = quality.confidence[back][np.argsort(away)]
    assert (np.diff(fits) < 1e-6).all()
    assert fits[-1] < 0.8 * fits[0]


@pytest.mark.parametrize("error", [0.0, 1e9])
def test_it_stays_within_its_range(ball: Surface, error: float) -> None:
    expected = expecting(ball, error)
    for face in (expected, replace(expected, landmarks=np.zeros((68, 3), np.float32))):
        quality = rate_vertices(ball, WHOLE, face)
        assert quality.seen.dtype == np.uint8
        assert quality.confidence.dtype == np.float32
        assert np.isfinite(quality.confidence).all()
        assert quality.confidence.min() >= 0
        assert quality.confidence.max() <= 1


def test_vertices_are_taken_by_their_numbers() -> None:
    random = seeded(3)
    quality = VertexQuality(
        random.integers(0, 2, 50, dtype=np.uint8), random.random(50, dtype=np.float32)
    )
    numbers = random.integers(0, 50, 200).astype(np.uint32)
    taken = quality.at(numbers)
    for position, number in enumerate(numbers.tolist()):
        assert taken.seen[position] == quality.seen[number]
        assert taken.confidence[position] == quality.confidence[number]
