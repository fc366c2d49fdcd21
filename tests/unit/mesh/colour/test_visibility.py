"""What the photo sees of a surface."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from protome.geometry import CROP_SIDE, F64, Frame
from protome.mesh.colour.visibility import visibility
from protome.mesh.shape.surface import Surface
from tests.support.shapes import CENTRE, loose_surface, radii, sphere


def ball(radius: float, centre: tuple[float, float, float], finer: int) -> Surface:
    """A ball whose triangles are as large as ``finer`` leaves them."""
    shape = trimesh.creation.icosphere(subdivisions=finer, radius=radius)
    return loose_surface(
        (shape.vertices + centre).astype(np.float32),
        np.asarray(shape.vertices / radius, np.float32),
        shape.faces.astype(np.uint32),
    )


def together(first: Surface, second: Surface) -> Surface:
    return loose_surface(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.normals, second.normals]),
        np.concatenate([first.triangles, second.triangles + np.uint32(len(first.vertices))]),
    )


def aside(surface: Surface) -> F64:
    """Distance of each vertex from the middle of the picture, crop pixels."""
    return np.asarray(np.hypot(*(surface.vertices[:, :2] - CENTRE[:2]).T), np.float64)


def test_the_front_of_a_ball_is_seen_and_its_back_is_not() -> None:
    surface = sphere(40.0)
    seen = visibility(surface)
    facing = -surface.normals[:, 2]
    assert seen[facing > 0.6].min() > 0.95
    assert seen[facing < -0.2].max() == 0
    assert 0 <= seen.min() <= seen.max() <= 1
    assert radii(surface).std() < 1, "a ball"


@pytest.mark.parametrize("finer", [1, 2, 4])
def test_what_lies_behind_is_not_seen_however_large_the_triangles(finer: int) -> None:
    x, y, _ = CENTRE
    behind = ball(40.0, (x, y, 70.0), 4)
    screen = ball(20.0, (x, y, 15.0), finer)
    both = visibility(together(behind, screen))[: len(behind.vertices)]
    # An icosahedron of few triangles lies within its ball.
    assert both[aside(behind) < 15].max() == 0
    beside = aside(behind) > 26
    np.testing.assert_array_equal(both[beside], visibility(behind)[beside])
    assert visibility(behind)[aside(behind) < 15].max() == 1


def test_outside_of_the_photo_nothing_is_seen() -> None:
    surface = sphere(40.0)
    frame = Frame(right=CENTRE[0], bottom=CROP_SIDE)
    seen = visibility(surface, frame)
    assert seen[surface.vertices[:, 0] > CENTRE[0] - 2].max() == 0
    front = (surface.normals[:, 2] < -0.6) & (surface.vertices[:, 0] < CENTRE[0] - 4)
    assert seen[front].min() > 0.95
