"""volume → surface: closed, manifold, oriented, where the volume says, in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from protome.errors import NoSurface
from protome.geometry import CROP_DEPTH, CROP_SIDE, GRIDS, U8, Level
from protome.mesh.surface import Surface, extract
from tests.support.shapes import (
    CENTRE,
    as_trimesh,
    edge_uses,
    occupancy,
    radii,
    seeded,
    sphere,
    sphere_volume,
    voxel_centres,
)


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


@pytest.mark.parametrize("level", Level)
def test_sphere_has_its_radius_to_a_twentieth_of_a_voxel(level: Level) -> None:
    surface = sphere(40.3, level)
    assert_closed_and_oriented(surface)
    voxel = max(GRIDS[level].voxel)
    assert np.abs(radii(surface) - 40.3).max() < 0.05 * voxel


def test_sphere_lies_at_its_subvoxel_centre() -> None:
    centre = (90.37, 101.81, 52.23)
    surface = extract(sphere_volume(33.0, centre))
    assert np.abs(radii(surface, centre) - 33.0).max() < 0.1
    middle = (surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(middle, centre, atol=0.1)


def test_ellipsoid_keeps_its_axes_apart() -> None:
    x, y, z = voxel_centres(Level.STANDARD)
    axes = np.array([60.0, 80.0, 40.0])
    scaled = np.sqrt(
        ((x - CENTRE[0]) / axes[0]) ** 2
        + ((y - CENTRE[1]) / axes[1]) ** 2
        + ((z - CENTRE[2]) / axes[2]) ** 2
    )
    surface = extract(occupancy((1 - scaled) * 40.0))
    assert_closed_and_oriented(surface)
    half = np.ptp(surface.vertices, axis=0) / 2
    np.testing.assert_allclose(half, axes, rtol=0.005)
    np.testing.assert_allclose(as_trimesh(surface).volume, 4 / 3 * np.pi * axes.prod(), rtol=0.01)


def test_normals_point_outwards_like_the_spheres() -> None:
    surface = sphere(40.0)
    outwards = (surface.vertices - np.array(CENTRE)) / radii(surface)[:, None]
    assert np.einsum("ij,ij->i", surface.normals, outwards).min() > 0.98


def test_triangles_are_counter_clockwise_from_outside() -> None:
    surface = sphere(40.0)
    mesh = as_trimesh(surface)
    outwards = mesh.triangles_center - np.array(CENTRE) * (1, -1, -1)
    assert (np.einsum("ij,ij->i", mesh.triangles_cross, outwards) > 0).all()


def test_islands_are_dropped() -> None:
    head = sphere_volume(30.0, (80, 96, 50))
    island = sphere_volume(9.0, (160, 96, 50))
    both, alone = extract(np.maximum(head, island)), extract(head)
    assert_closed_and_oriented(both)
    assert len(both.triangles) == len(alone.triangles)
    np.testing.assert_allclose(both.vertices.max(axis=0), alone.vertices.max(axis=0), atol=1e-4)


def test_hollows_are_dropped() -> None:
    ball = sphere_volume(40.0)
    hollow = np.minimum(ball, 255 - sphere_volume(15.0))
    surface = extract(hollow)
    assert_closed_and_oriented(surface)
    assert radii(surface).min() > 39


def test_a_large_hollow_under_a_thin_shell_is_still_the_hollow() -> None:
    shell = np.minimum(sphere_volume(44.0), 255 - sphere_volume(38.0))
    surface = extract(shell)
    assert_closed_and_oriented(surface)
    assert radii(surface).min() > 43


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0, 1])
def test_a_head_cut_by_the_border_is_closed_there(axis: int, end: int) -> None:
    extent = (CROP_SIDE, CROP_SIDE, CROP_DEPTH)
    centre = list(CENTRE)
    centre[axis] = extent[axis] * end
    surface = extract(sphere_volume(40.0, (centre[0], centre[1], centre[2])))
    assert_closed_and_oriented(surface)
    # The lid lies at most a voxel outside of the volume.
    assert surface.vertices[:, axis].min() >= -2
    assert surface.vertices[:, axis].max() <= extent[axis] + 2
    np.testing.assert_allclose(as_trimesh(surface).volume, 2 / 3 * np.pi * 40**3, rtol=0.03)


def test_a_full_volume_is_a_closed_box() -> None:
    surface = extract(np.full(GRIDS[Level.PREVIEW].shape, 255, np.uint8))
    assert_closed_and_oriented(surface)


def volume_with(voxels: list[tuple[int, int, int]]) -> U8:
    volume = np.zeros(GRIDS[Level.PREVIEW].shape, np.uint8)
    for voxel in voxels:
        volume[voxel] = 255
    return volume


@pytest.mark.parametrize(
    "volume",
    [
        volume_with([]),
        np.full(GRIDS[Level.STANDARD].shape, 127, np.uint8),
        volume_with([(20, 20, 20)]),
        volume_with([(0, 0, 0), (49, 47, 47)]),
    ],
    ids=["empty", "just below the threshold", "one voxel", "two corners"],
)
def test_next_to_nothing_is_no_surface(volume: U8) -> None:
    with pytest.raises(NoSurface):
        extract(volume)


@pytest.mark.parametrize("seed", range(8))
def test_smooth_random_volumes_give_closed_manifold_surfaces(seed: int) -> None:
    rng = seeded(seed)
    noise = gaussian_filter(rng.normal(size=GRIDS[Level.PREVIEW].shape), 1.0 + seed / 2)
    bulge = sphere_volume(40.0, level=Level.PREVIEW).astype(np.float64) - 127.5
    mixed = noise / noise.std() * 60 + bulge
    assert_closed_and_oriented(extract(np.clip(mixed + 127.5, 0, 255).astype(np.uint8)))


@pytest.mark.parametrize("seed", range(3))
def test_rough_random_volumes_have_no_open_edge(seed: int) -> None:
    volume = seeded(seed).integers(0, 256, GRIDS[Level.PREVIEW].shape, dtype=np.uint8)
    uses, balance = edge_uses(extract(volume))
    assert (uses % 2 == 0).all()
    assert (balance == 0).all()


def test_the_volume_is_left_alone() -> None:
    volume = sphere_volume(40.0)
    before = volume.copy()
    extract(volume)
    np.testing.assert_array_equal(volume, before)
