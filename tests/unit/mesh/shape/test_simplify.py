"""surface → smaller surface: within its budget, closed, and as far off as it says."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from protome.geometry import Level
from protome.mesh.shape.simplify import MeshBudget, distance, simplify, simplify_to_budget
from protome.mesh.shape.surface import MIN_TRIANGLES, Surface, compose
from tests.support.shapes import (
    CENTRE,
    as_trimesh,
    edge_uses,
    head_of,
    no_hair,
    radii,
    sphere,
)


def bytes_of(surface: Surface) -> int:
    """A file with 500 bytes besides its triangles."""
    return 500 + 12 * len(surface.triangles)


def fitted(full: Surface, budget: MeshBudget) -> tuple[Surface, float, int, list[int]]:
    """The surface, its error, its bytes, and the bytes of all that were written."""
    sizes: list[int] = []

    def write(surface: Surface) -> int:
        sizes.append(bytes_of(surface))
        return sizes[-1]

    found, written = simplify_to_budget(full, budget, write, lambda size: size)
    return found.surface, found.error, written, sizes


@pytest.mark.parametrize("triangles", [8000, 1000, 200])
def test_a_simplified_sphere_is_still_that_sphere(triangles: int) -> None:
    full = sphere(40.0)
    simple = simplify(full, triangles)
    assert 0.95 * triangles <= len(simple.triangles) <= triangles
    uses, balance = edge_uses(simple)
    assert (uses == 2).all()
    assert (balance == 0).all()
    assert as_trimesh(simple).volume == pytest.approx(as_trimesh(full).volume, rel=0.03)
    assert np.abs(radii(simple) - 40).max() < 1
    outwards = (simple.vertices - np.array(CENTRE)) / radii(simple)[:, None]
    assert (simple.normals * outwards).sum(axis=1).min() > 0.97
    np.testing.assert_allclose(np.linalg.norm(simple.normals, axis=1), 1, atol=1e-4)


def test_the_distance_is_that_of_two_concentric_spheres() -> None:
    assert distance(sphere(42.0), sphere(40.0)) == pytest.approx(2.0, abs=0.1)


def test_the_distance_between_a_surface_and_itself_is_nothing() -> None:
    full = sphere(40.0)
    assert distance(full, full) < 1e-3


def test_fewer_triangles_are_further_off() -> None:
    full = sphere(40.0)
    errors = [distance(full, simplify(full, n)) for n in (4000, 1000, 250)]
    assert 0 < errors[0] < errors[1] < errors[2] < 3


@pytest.mark.parametrize("budget", [MeshBudget(), MeshBudget(10**6, 10**9)])
def test_a_surface_within_its_budget_is_left_alone(budget: MeshBudget) -> None:
    full = sphere(40.0)
    surface, error, _, sizes = fitted(full, budget)
    assert surface is full
    assert error == 0
    assert len(sizes) == 1


def test_a_budget_of_bytes_is_nearly_used_up_after_few_files() -> None:
    surface, error, written, sizes = fitted(sphere(40.0), MeshBudget(max_bytes=60_000))
    assert 0.85 * 60_000 <= written <= 60_000
    assert written == bytes_of(surface)
    assert 0 < error < 1
    assert len(sizes) <= 4


def test_both_budgets_hold() -> None:
    surface, _, written, _ = fitted(sphere(40.0), MeshBudget(1000, 60_000))
    assert len(surface.triangles) <= 1000
    surface, _, written, _ = fitted(sphere(40.0), MeshBudget(10_000, 60_000))
    assert written <= 60_000


def test_out_of_reach_the_smallest_is_given() -> None:
    surface, error, written, _ = fitted(sphere(40.0), MeshBudget(max_bytes=1024))
    assert len(surface.triangles) <= MIN_TRIANGLES
    assert written > 1024
    assert error > 0


@pytest.mark.parametrize("triangles", [200, 300, 500, 1000, 3000])
@pytest.mark.parametrize("handle", [False, True])
def test_thin_parts_stay_closed(triangles: int, handle: bool) -> None:
    """As indices have it, and where programs weld vertices by place."""
    pieces = [trimesh.creation.cylinder(40, 6), trimesh.creation.icosphere(4, 25)]
    if handle:
        ring = trimesh.creation.torus(9, 2.5)
        ring.vertices = ring.vertices[:, [1, 2, 0]] + (20, 0, 20)
        pieces.append(ring)
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces])
    faces = np.concatenate([p.faces + n for p, n in zip(pieces, starts[:-1], strict=True)])
    vertices = np.concatenate([piece.vertices for piece in pieces]) + CENTRE
    full = compose(head_of(faces), vertices.astype(np.float32), no_hair(), Level.STANDARD)
    simple = simplify(full, triangles)
    assert 0.85 * triangles <= len(simple.triangles) <= triangles
    uses, balance = edge_uses(simple)
    assert (uses == 2).all()
    assert (balance == 0).all()
    welded = as_trimesh(simple)
    assert welded.body_count == 1
    welded.merge_vertices()
    assert welded.is_watertight
    assert len(simple.source) == len(simple.weights) == len(simple.vertices)
