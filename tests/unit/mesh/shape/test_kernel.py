"""The compiled kernel against NumPy: the same surface, and manifold where PyMCubes' is not."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from protome.geometry import F32, I32, U8, U32
from protome.mesh.shape import isosurface
from tests.support.shapes import CENTRE, balls, seeded

from .composing import MALFORMED, Arguments, arguments, lump, of_head

try:
    from protome.mesh import _kernel
except ImportError:
    if shutil.which("cc"):
        raise
    pytest.skip("the kernel is not built and there is no compiler", allow_module_level=True)

Parts = tuple[F32, F32, U32, I32, F32]
SHAPE = (12, 13, 14)
BALL = (17.3, (26.0, 25.0, 22.0))


def kernel(args: tuple[Any, ...]) -> Parts:
    vertices, normals, triangles, source, weights = _kernel.compose(*args)
    return (
        np.frombuffer(vertices, np.float32).reshape(-1, 3),
        np.frombuffer(normals, np.float32).reshape(-1, 3),
        np.frombuffer(triangles, np.uint32).reshape(-1, 3),
        np.frombuffer(source, np.int32),
        np.frombuffer(weights, np.float32).reshape(-1, 2),
    )


def assert_manifold(triangles: U32, count: int) -> None:
    t = triangles.astype(np.int64)
    starts, ends = t.ravel(), t[:, [1, 2, 0]].ravel()
    once = np.sort(starts * count + ends)
    assert (np.diff(once) > 0).all(), "an edge is used twice in one direction"
    assert (once == np.sort(ends * count + starts)).all(), "an edge is open"


def assert_same(args: tuple[Any, ...]) -> None:
    """Same vertices, with the same normals, triangles and weights."""
    vertices, normals, triangles, source, weights = kernel(args)
    points, expected, _, triangle, shares = isosurface.compose(*args)
    assert len(vertices) == len(points)
    assert_manifold(triangles, len(vertices))
    away, twin = (np.asarray(found) for found in cKDTree(points).query(vertices))
    assert away.max() < 2e-3
    assert len(np.unique(twin)) == len(twin)
    # Where head and hair meet within a rounding error, either may be the farther one.
    same = source == triangle[twin]
    assert same.mean() > 0.999
    assert np.abs(normals - expected[twin])[same].max() < 0.02
    assert np.abs(weights - shares[twin])[same].max() < 1e-3


def noise(seed: int, width: float, shape: tuple[int, int, int] = SHAPE) -> U8:
    values = gaussian_filter(seeded(seed).normal(size=shape), width)
    return np.asarray(np.clip(127.5 + 90 * values / values.std(), 0, 255), np.uint8)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_ball(step: int) -> None:
    assert_same(of_head(*balls(BALL, finer=3), step=step))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_balls_that_overlap_are_one(step: int) -> None:
    head, vertices = balls(BALL, (12.0, (40.0, 26.0, 22.0)), (9.0, (24.0, 27.0, 40.0)), finer=3)
    args = of_head(head, vertices, step=step)
    assert_same(args)
    points = kernel(args)[0]
    for radius, centre in (BALL, (12.0, (40.0, 26.0, 22.0))):
        inside = radius - np.linalg.norm(points - centre, axis=1)
        assert inside.max() < 0.05 * step + 0.2


@pytest.mark.parametrize("step", [1, 2, 4])
def test_hair_alone(step: int) -> None:
    assert_same(arguments(hair=lump(SHAPE), step=step))


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_a_ball_in_random_hair(seed: int, step: int) -> None:
    head, vertices = balls(BALL, finer=3)
    guard = np.clip((25 - vertices[:, 2]) / 10, 0, 1).astype(np.float32)
    assert_same(of_head(head, vertices, guard=guard, hair=noise(seed, 1.0 + seed / 2), step=step))


def test_corners_on_nodes_and_edges_along_lines() -> None:
    """A block whose faces lie in planes of nodes: whatever is ambiguous is decided alike."""
    corners = np.array(np.meshgrid((3, 11), (5, 13), (1, 9), indexing="ij"), np.float32)
    x, y, z = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = []
    for a, b, c in ((x, y, z), (y, z, x), (z, x, y)):
        square = [0 * a, b, b + c, c]
        low = [int(s @ (4, 2, 1)) for s in square]
        high = [int((s + a) @ (4, 2, 1)) for s in square]
        faces += [(low[0], low[2], low[1]), (low[0], low[3], low[2])]
        faces += [(high[0], high[1], high[2]), (high[0], high[2], high[3])]
    block = np.ascontiguousarray(corners.reshape(3, 8).T)
    args = arguments(vertices=block, triangles=np.array(faces, np.int32), step=2)
    assert_same(args)
    vertices, _, triangles, _, _ = kernel(args)
    assert len(triangles) == 2 * len(vertices) - 4
    np.testing.assert_allclose(vertices.min(axis=0), (3, 5, 1), atol=0.03)
    np.testing.assert_allclose(vertices.max(axis=0), (11, 13, 9), atol=0.03)


@pytest.mark.parametrize("seed", range(40))
def test_random_solids_on_nodes(seed: int) -> None:
    """Closed meshes in any pose, inside out and through each other, their corners on nodes."""
    rng = seeded(seed)
    solids = int(rng.integers(1, 6))
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    vertices = rng.integers(0, 20, (4 * solids, 3)).astype(np.float32)
    triangles = np.concatenate([faces + 4 * s for s in range(solids)])
    args = arguments(vertices=vertices, triangles=triangles, step=int(rng.choice([1, 2])))
    points, _, found, source, weights = kernel(args)
    assert len(points) == len(isosurface.compose(*args)[0])
    assert_manifold(found, len(points))
    corners = vertices[triangles[source]]
    shares = np.concatenate([1 - weights.sum(axis=1, keepdims=True), weights], axis=1)
    on = (shares[:, :, None] * corners).sum(axis=1)
    assert np.linalg.norm(on - points, axis=1).max(initial=0) < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_manifold(seed: int) -> None:
    """PyMCubes' is not: only the vertices are compared."""
    hair = seeded(seed).integers(0, 256, SHAPE, dtype=np.uint8)
    vertices, normals, triangles, _, _ = kernel(arguments(hair=hair, step=4))
    assert_manifold(triangles, len(vertices))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_vertices_are_spaced_as_numpy_spaces_them(step: int) -> None:
    head, vertices = balls((34.0, (60.0, 60.0, 50.0)), (20.0, (85.0, 60.0, 50.0)), finer=4)
    hair = lump((26, 30, 30), 0.4)
    args = of_head(head, vertices, hair=hair, step=step, rounds=0)
    plain = kernel(args)
    expected = isosurface.relax(plain, args[0], args[1], args[2], hair, step, 3)
    spaced = kernel((*args[:5], 3))
    np.testing.assert_array_equal(spaced[2], plain[2])
    assert np.abs(spaced[0] - plain[0]).max() > 0.1 * step
    # A vertex whose walk ends at the limit of steps or on an edge may stop elsewhere.
    away = np.linalg.norm(spaced[0] - expected[0], axis=1)
    assert (away < 1e-3 * step).mean() > 0.999
    same = (spaced[3] == expected[3]) & (away < 1e-3 * step)
    assert np.abs(spaced[1] - expected[1])[same].max() < 0.02
    assert np.abs(spaced[4] - expected[4])[same].max() < 0.02


@pytest.mark.parametrize("shape", [(4, 4, 4), (5, 6, 7), (40, 52, 52), (62, 62, 62)])
def test_a_full_grid_of_hair_is_a_round_body(shape: tuple[int, int, int]) -> None:
    args = arguments(hair=np.full(shape, 255, np.uint8), step=4)
    vertices, _, triangles, _, _ = kernel(args)
    assert_manifold(triangles, len(vertices))
    assert (vertices > 0).all()
    assert (vertices < 4 * np.array(shape[::-1])).all()


def test_nothing_gives_nothing() -> None:
    assert [len(part) for part in _kernel.compose(*arguments())] == [0] * 5


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        (arguments()[:5], TypeError),
        ((None, *arguments()[1:]), TypeError),
        (("vertices", *arguments()[1:]), TypeError),
        (arguments(step="1"), TypeError),
        (arguments(rounds=None), TypeError),
        (arguments(hair=np.zeros((8, 8, 16), np.uint8)[:, :, ::2]), ValueError),
        *((arguments(**changes), error) for changes, error in MALFORMED),
    ],
)
def test_malformed_arguments_are_refused(args: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        _kernel.compose(*args)


def test_triangles_larger_than_a_heads_are_refused() -> None:
    corners = np.array([[0, 0, 0], [400, 0, 0], [0, 400, 0], [0, 0, 400]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    args: Arguments = {"vertices": corners, "triangles": np.tile(faces, (500, 1)), "step": 1}
    with pytest.raises(OverflowError):
        _kernel.compose(*arguments(**args))


def test_the_interpreter_runs_on_meanwhile() -> None:
    args = of_head(*balls((60.0, CENTRE), finer=6), step=1, rounds=3)
    span: list[float] = []

    def work() -> None:
        began = time.perf_counter()
        _kernel.compose(*args)
        span.extend([began, time.perf_counter()])

    thread = threading.Thread(target=work)
    thread.start()
    ticks = []
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0)
    thread.join()
    began, ended = span
    margin = (ended - began) / 10
    assert any(began + margin < tick < ended - margin for tick in ticks)
