"""head + hair → surface: closed, manifold, oriented, where head and hair are, in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from trimesh.smoothing import filter_taubin

from protome.errors import NoSurface
from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, HAIR_SHAPE, U8, Level
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface, compose
from tests.support.shapes import (
    CENTRE,
    Point,
    as_trimesh,
    ball_surface,
    balls,
    edge_uses,
    head_of,
    no_hair,
    radii,
    seeded,
    sphere,
)

CELL = 4.0


def hair_ball(radius: float, centre: Point) -> U8:
    """Hair that fills a ball; occupancy falls from 1 to 0 over two cells."""
    z, y, x = (np.indices(HAIR_SHAPE) + 0.5) * CELL
    away = radius - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return np.asarray(np.clip(np.round(127.5 + 255 * away / (2 * CELL)), 0, 255), np.uint8)


def assert_closed_and_oriented(surface: Surface) -> None:
    uses, balance = edge_uses(surface)
    assert (uses == 2).all(), f"{(uses != 2).sum()} edges are not used exactly twice"
    assert (balance == 0).all(), "neighbouring triangles are wound differently"
    mesh = as_trimesh(surface)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    assert len(np.unique(surface.triangles)) == len(surface.vertices), "unused vertices"
    assert surface.vertices.dtype == np.float32
    assert surface.triangles.dtype == np.uint32
    assert np.isfinite(surface.vertices).all()
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-4)


def places(surface: Surface, head: Head, vertices: F32) -> F32:
    """Where the surface says that its vertices lie on the head."""
    corners = vertices[head.triangles[surface.source]]
    first = 1 - surface.weights.sum(axis=1, keepdims=True)
    shares = np.concatenate([first, surface.weights], axis=1)
    return np.asarray((shares[:, :, None] * corners).sum(axis=1))


@pytest.mark.parametrize("level", Level)
def test_a_ball_has_its_radius_at_every_level(level: Level) -> None:
    surface = sphere(40.3, level)
    assert_closed_and_oriented(surface)
    # A vertex keeps 1/100 of a step from the nodes; the facets of the ball are 0.01 px flat.
    assert np.abs(radii(surface) - 40.3).max() < 0.01 * level.step + 0.02


def test_a_ball_lies_at_its_centre() -> None:
    centre = (90.37, 101.81, 52.23)
    surface = ball_surface((33.0, centre))
    assert np.abs(radii(surface, centre) - 33.0).max() < 0.05
    np.testing.assert_allclose(surface.vertices.mean(axis=0), centre, atol=0.1)


def test_an_ellipsoid_keeps_its_axes_apart() -> None:
    head, vertices = balls((1.0, (0.0, 0.0, 0.0)))
    axes = np.array([60.0, 80.0, 40.0], np.float32)
    surface = compose(
        head, (vertices * axes + CENTRE).astype(np.float32), no_hair(), Level.STANDARD
    )
    assert_closed_and_oriented(surface)
    half = np.ptp(surface.vertices, axis=0) / 2
    np.testing.assert_allclose(half, axes, rtol=0.005)
    np.testing.assert_allclose(as_trimesh(surface).volume, 4 / 3 * np.pi * axes.prod(), rtol=0.01)


@pytest.mark.parametrize("level", Level)
def test_normals_are_the_balls(level: Level) -> None:
    surface = sphere(40.0, level)
    outwards = (surface.vertices - np.array(CENTRE)) / radii(surface)[:, None]
    assert np.einsum("ij,ij->i", surface.normals, outwards).min() > 0.999


@pytest.mark.parametrize("level", Level)
def test_facets_are_smooth_and_well_shaped(level: Level) -> None:
    """Without the stored normals too: no steps, no slivers."""
    surface = sphere(40.0, level)
    mesh = as_trimesh(surface)
    outwards = mesh.triangles_center - np.array(CENTRE) * (1, -1, -1)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    tilt = np.degrees(np.arccos(np.clip((mesh.face_normals * outwards).sum(axis=1), -1, 1)))
    assert np.percentile(tilt, 99) < 1.2 * level.step
    assert np.percentile(mesh.face_angles.min(axis=1), 1) > np.radians(20)


def test_standard_is_smooth_over_three_millimetres() -> None:
    """Deviation from the surface that Taubin's smoothing makes of it: at most 0.12 / 0.25 mm."""
    mesh = as_trimesh(sphere(60.0))
    smooth = mesh.copy()
    filter_taubin(smooth, lamb=0.5, nu=0.53, iterations=30)  # type: ignore[no-untyped-call]
    millimetres = np.linalg.norm(smooth.vertices - mesh.vertices, axis=1) * 10 / 6.2
    half, most = np.percentile(millimetres, [50, 90])
    assert half < 0.12
    assert most < 0.25


def test_triangles_are_counter_clockwise_from_outside() -> None:
    surface = sphere(40.0)
    mesh = as_trimesh(surface)
    outwards = mesh.triangles_center - np.array(CENTRE) * (1, -1, -1)
    assert (np.einsum("ij,ij->i", mesh.triangles_cross, outwards) > 0).all()


@pytest.mark.parametrize("level", Level)
def test_vertices_lie_where_their_source_says(level: Level) -> None:
    head, vertices = balls((40.0, CENTRE), (20.0, (150.0, 100.0, 80.0)))
    surface = compose(head, vertices, hair_ball(30.0, (104.0, 60.0, 80.0)), level)
    assert_closed_and_oriented(surface)
    skin = surface.source >= 0
    assert 0.2 < skin.mean() < 0.98
    assert (surface.weights[~skin] == 0).all()
    assert surface.weights.min() > -1e-4
    assert surface.weights.sum(axis=1).max() < 1 + 1e-4
    assert surface.source.max() < len(head.triangles)
    away = np.linalg.norm(places(surface, head, vertices) - surface.vertices, axis=1)[skin]
    assert away.max() < 0.01 * level.step + 0.01


@pytest.mark.parametrize("level", Level)
def test_hair_lies_around_the_head(level: Level) -> None:
    above = (CENTRE[0], CENTRE[1] - 40.0, CENTRE[2])
    head, vertices = balls((40.0, CENTRE))
    surface = compose(head, vertices, hair_ball(25.0, above), level)
    assert_closed_and_oriented(surface)
    hair = surface.source < 0
    assert np.abs(radii(surface)[~hair] - 40).max() < 0.1
    # The spline flattens a ball of cells by a little.
    off = radii(surface, above)[hair] - 25
    assert np.abs(off).max() < 1.0
    assert radii(surface)[hair].min() > 39
    outwards = (surface.vertices - above)[hair] / radii(surface, above)[hair, None]
    assert (surface.normals[hair] * outwards).sum(axis=1).min() > 0.97


def test_levels_are_resolutions_of_one_thing() -> None:
    head, vertices = balls((40.0, CENTRE))
    hair = hair_ball(30.0, (CENTRE[0], CENTRE[1] - 40.0, CENTRE[2] + 10))
    volumes = [as_trimesh(compose(head, vertices, hair, level)).volume for level in Level]
    np.testing.assert_allclose(volumes, volumes[-1], rtol=0.01)


def test_hair_stays_off_guarded_skin() -> None:
    """A cap of 6 px all around covers only the part that is not guarded."""
    head, vertices = balls((40.0, CENTRE))
    guard = np.where(vertices[:, 1] > CENTRE[1], 1, 0).astype(np.float32)
    guarded = Head(**{n: getattr(head, n) for n in head.__slots__ if n != "guard"}, guard=guard)
    surface = compose(guarded, vertices, hair_ball(46.0, CENTRE), Level.STANDARD)
    assert_closed_and_oriented(surface)
    below = surface.vertices[:, 1] - CENTRE[1]
    assert (surface.source[below > 14] >= 0).all()
    assert (surface.source[below < -14] < 0).all()


def test_a_head_that_leaves_the_crop_is_whole() -> None:
    """The lattice is around the head, not the crop."""
    surface = ball_surface((60.0, (10.0, CROP_SIDE, -20.0)))
    assert_closed_and_oriented(surface)
    np.testing.assert_allclose(radii(surface, (10.0, CROP_SIDE, -20.0)), 60.0, atol=0.05)


def test_hair_that_fills_the_grid_ends_round() -> None:
    head, vertices = balls((40.0, CENTRE))
    surface = compose(head, vertices, np.full(HAIR_SHAPE, 255, np.uint8), Level.STANDARD)
    assert_closed_and_oriented(surface)
    assert surface.vertices.min() > 0
    assert (surface.vertices.max(axis=0) < (CROP_SIDE, CROP_SIDE, CROP_DEPTH)).all()
    mesh = as_trimesh(surface)
    for axis in range(3):
        for way in (mesh.vertices[:, axis].min(), mesh.vertices[:, axis].max()):
            flat = (np.abs(mesh.vertices[:, axis] - way) < 0.0062)[mesh.faces].all(axis=1)
            # 6.2 px are 1 cm; what is flat to a hundredth of a millimetre.
            assert mesh.area_faces[flat].sum() / 6.2**2 < 1


def test_the_smaller_pieces_are_dropped() -> None:
    far = (CENTRE[0] + 60, CENTRE[1], CENTRE[2])
    both, alone = ball_surface((30.0, CENTRE), (15.0, far)), ball_surface((30.0, CENTRE))
    assert_closed_and_oriented(both)
    np.testing.assert_allclose(both.vertices, alone.vertices, atol=1e-3)


def test_floating_hair_is_dropped() -> None:
    head, vertices = balls((30.0, CENTRE))
    surface = compose(head, vertices, hair_ball(12.0, (40.0, 40.0, 40.0)), Level.STANDARD)
    assert (surface.source >= 0).all()


def test_hollows_are_dropped() -> None:
    inner, outer = balls((25.0, CENTRE)), balls((40.0, CENTRE))
    count = len(outer[1])
    triangles = np.concatenate([outer[0].triangles, inner[0].triangles[:, ::-1] + count])
    vertices = np.concatenate([outer[1], inner[1]])
    surface = compose(head_of(triangles), vertices, no_hair(), Level.STANDARD)
    assert_closed_and_oriented(surface)
    assert radii(surface).min() > 39.9


def test_what_overlaps_itself_is_filled() -> None:
    """Two balls through each other: no wall between them, and no hollow."""
    right = (CENTRE[0] + 30, CENTRE[1], CENTRE[2])
    surface = ball_surface((40.0, CENTRE), (40.0, right))
    assert_closed_and_oriented(surface)
    nearest = np.minimum(radii(surface), radii(surface, right))
    assert np.abs(nearest - 40).max() < 0.5
    height = 40 - 15
    lens = 2 * np.pi * height**2 * (40 - height / 3)
    expected = 2 * 4 / 3 * np.pi * 40**3 - lens
    assert as_trimesh(surface).volume == pytest.approx(expected, rel=0.005)


BALL = balls((40.0, CENTRE), finer=3)


@pytest.mark.parametrize(
    "vertices",
    [
        np.full_like(BALL[1], np.nan),
        np.where(np.arange(BALL[1].size).reshape(-1, 3) == 7, np.inf, BALL[1]),
        BALL[1] * np.float32(10),
        BALL[1] * np.float32(1e30),
        BALL[1] * np.float32(0),
        BALL[1][::-1] * np.float32(0.01),
        BALL[1] * np.array([-1, 1, 1], np.float32),
    ],
    ids=["nan", "one infinite", "too large", "huge", "a point", "tiny", "inside out"],
)
def test_what_is_no_head_is_no_surface(vertices: F32) -> None:
    with pytest.raises(NoSurface):
        compose(BALL[0], vertices.astype(np.float32), no_hair(), Level.STANDARD)


@pytest.mark.parametrize("seed", range(4))
def test_scrambled_vertices_give_a_closed_surface(seed: int) -> None:
    vertices = seeded(seed).permutation(BALL[1])
    uses, balance = edge_uses(compose(BALL[0], vertices, no_hair(), Level.PREVIEW))
    assert (uses == 2).all()
    assert (balance == 0).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", [Level.PREVIEW, Level.STANDARD])
def test_random_hair_gives_a_closed_manifold_surface(seed: int, level: Level) -> None:
    noise = gaussian_filter(seeded(seed).normal(size=HAIR_SHAPE), seed / 2)
    hair = np.clip(noise / noise.std() * 90 + 127.5, 0, 255).astype(np.uint8)
    assert_closed_and_oriented(compose(*balls((40.0, CENTRE), finer=4), hair, level))


def test_the_inputs_are_left_alone() -> None:
    head, vertices = balls((40.0, CENTRE))
    hair = hair_ball(30.0, CENTRE)
    before = vertices.copy(), hair.copy()
    compose(head, vertices, hair, Level.STANDARD)
    np.testing.assert_array_equal(vertices, before[0])
    np.testing.assert_array_equal(hair, before[1])
