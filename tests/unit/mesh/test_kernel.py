"""The compiled kernel against PyMCubes: the same surface, and manifold where PyMCubes' is not."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Any

import mcubes
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from protome.geometry import F32, F64, GRIDS, U8, U32, Level
from protome.mesh import isosurface
from tests.support.shapes import facet_normals, seeded, sphere_volume

try:
    from protome.mesh import _kernel as _surface
except ImportError:
    if shutil.which("cc"):
        raise
    pytest.skip("the kernel is not built and there is no compiler", allow_module_level=True)

UNIT = (1.0, 1.0, 1.0)


def kernel(
    volume: U8, voxel: tuple[float, float, float] = UNIT, largest: bool = False
) -> tuple[F32, F32, U32]:
    vertices, normals, triangles = _surface.extract(volume, voxel, largest)
    return (
        np.frombuffer(vertices, np.float32).reshape(-1, 3),
        np.frombuffer(normals, np.float32).reshape(-1, 3),
        np.frombuffer(triangles, np.uint32).reshape(-1, 3),
    )


def oracle(volume: U8) -> tuple[F64, U32]:
    """PyMCubes on the padded volume, vertices as (x, y, z) with voxel 0's centre at 1/2."""
    points, triangles = mcubes.marching_cubes(np.pad(volume.astype(np.float32), 1), 127.5)
    return (points - 0.5)[:, ::-1], triangles[:, ::-1].astype(np.uint32)


def directed_edges(triangles: U32, count: int) -> np.ndarray:
    """Each edge as one number."""
    t = triangles.astype(np.int64)
    pairs = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    return np.asarray(pairs[:, 0] * count + pairs[:, 1])


def half_voxels(vertices: F32 | F64) -> np.ndarray:
    """Middle of the edge between two voxels that a vertex lies on: odd along it, even across."""
    p = vertices.astype(np.float64) - 0.5
    # A vertex is 1/510 from a voxel at least.
    return 2 * np.floor(p + 1e-4).astype(np.int64) + (np.abs(p - np.round(p)) > 1e-4)


def order(vertices: F32 | F64) -> np.ndarray:
    """Sort the vertices of one volume, so that extractors can be compared."""
    return np.lexsort(half_voxels(vertices).T)


def on_a_face(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether the middles of two edges lie on one face of a cell."""
    apart = np.abs(first - second)
    odd = (first % 2 != 0) | (second % 2 != 0)
    within = np.where(odd, apart <= 1, apart <= 2)
    level = (apart == 0) & ~odd
    return np.asarray(within.all(axis=1) & level.any(axis=1))


def assert_same_surface(volume: U8) -> None:
    """Same vertices, same lines on the faces of the cells, every edge used once each way.

    Inside a cell a loop may be cut into triangles along other diagonals.
    """
    vertices, normals, triangles = kernel(volume)
    points, expected = oracle(volume)
    assert len(vertices) == len(points)
    assert len(triangles) == len(expected)
    if not len(points):
        return
    n = len(points)
    ours, theirs = order(vertices), order(points)
    np.testing.assert_allclose(vertices[ours], points[theirs], atol=1e-3)
    twin = np.empty(n, np.int64)
    twin[ours] = theirs
    edges = directed_edges(triangles, n)
    once = np.sort(edges)
    assert (np.diff(once) > 0).all(), "an edge is used twice in one direction"
    assert (once == np.sort(edges % n * n + edges // n)).all(), "an edge is open"
    a, b = twin[edges // n], twin[edges % n]
    middles = half_voxels(points)
    line = on_a_face(middles[a], middles[b])
    assert line.any()
    drawn, known = (a * n + b)[line], np.sort(directed_edges(expected, n))
    assert (known[np.searchsorted(known, drawn, side="right") - 1] == drawn).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_smooth_random_volumes(seed: int) -> None:
    shape = GRIDS[Level.STANDARD if seed == 5 else Level.PREVIEW].shape
    noise = gaussian_filter(seeded(seed).normal(size=shape), 1.0 + seed / 2)
    assert_same_surface(np.clip(127.5 + 90 * noise / noise.std(), 0, 255).astype(np.uint8))


def test_all_cases_of_a_cell_with_random_values() -> None:
    rng = seeded(0)
    for inside in range(256):
        corners = (inside >> np.arange(8) & 1).reshape(2, 2, 2)
        for _ in range(4):
            values = rng.integers(0, 128, (2, 2, 2)) + 128 * corners
            assert_same_surface(values.astype(np.uint8))


@pytest.mark.parametrize("seed", range(4))
def test_five_hundred_small_noise_volumes(seed: int) -> None:
    rng = seeded(seed)
    for _ in range(500):
        shape = rng.integers(1, 8, 3)
        few = rng.choice([0, 127, 128, 255], shape)
        volume = rng.integers(0, 256, shape) if seed % 2 else few
        assert_same_surface(volume.astype(np.uint8))


@pytest.mark.parametrize("width", [57, 58, 59, 60, 121, 122, 123, 187])
def test_rows_around_a_whole_number_of_words(width: int) -> None:
    assert_same_surface(seeded(width).integers(0, 256, (4, 5, width), dtype=np.uint8))


def test_a_large_noise_volume() -> None:
    assert_same_surface(seeded(1).integers(0, 256, (20, 31, 130), dtype=np.uint8))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 70), (20, 1, 9)])
def test_full_volumes_touch_every_border(shape: tuple[int, int, int]) -> None:
    assert_same_surface(np.full(shape, 255, np.uint8))


def test_a_sphere_cut_by_the_corner() -> None:
    assert_same_surface(sphere_volume(60.0, (0.0, 192.0, 0.0)))


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0), (5, 6, 7)])
def test_nothing_occupied_gives_nothing(shape: tuple[int, int, int]) -> None:
    assert all(len(part) == 0 for part in kernel(np.full(shape, 127, np.uint8)))


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_pieces_normals_and_extents_are_the_fallbacks(seed: int, largest: bool) -> None:
    voxel = (1.0, 2.0, 2.5)
    noise = gaussian_filter(seeded(seed).normal(size=(20, 30, 70)), 0.4 * seed)
    volume = np.clip(127.5 + 90 * noise / noise.std(), 0, 255).astype(np.uint8)
    vertices, normals, triangles = kernel(volume, voxel, largest)
    points, expected, faces = isosurface.extract(volume, voxel, largest)
    assert (len(vertices), len(triangles)) == (len(points), len(faces))
    scale = np.array(voxel[::-1], np.float32)
    ours, theirs = order(vertices / scale), order(points / scale)
    np.testing.assert_allclose(vertices[ours], points[theirs], atol=1e-3)
    np.testing.assert_allclose(normals[ours], expected[theirs], atol=1e-3)


def test_normals_follow_the_steepest_descent_of_the_smoothed_volume() -> None:
    """A head's terraces: normals of neighbours differ less than those of the facets do."""
    volume = np.where(sphere_volume(40.0) > 127, 255, 0).astype(np.uint8)
    vertices, normals, triangles = kernel(volume, (1.0, 2.0, 2.0))
    towards = vertices - np.array([96, 96, 50], np.float32)
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    of_facets = facet_normals(vertices, triangles)
    off = np.arccos(np.clip((normals * towards).sum(axis=1), -1, 1)).mean()
    off_facets = np.arccos(np.clip((of_facets * towards).sum(axis=1), -1, 1)).mean()
    assert off < 0.6 * off_facets


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        ((None, UNIT, True), TypeError),
        (("volume", UNIT, True), TypeError),
        ((np.zeros((4, 4, 4), np.float32), UNIT, True), TypeError),
        ((np.zeros((4, 4, 4), np.int8), UNIT, True), TypeError),
        ((np.zeros((4, 4), np.uint8), UNIT, True), ValueError),
        ((np.zeros((4, 4, 4, 4), np.uint8), UNIT, True), ValueError),
        ((b"12345678", UNIT, True), ValueError),
        ((np.zeros((4, 4, 8), np.uint8)[:, :, ::2], UNIT, True), ValueError),
        ((np.zeros((4, 4, 4), np.uint8), (1.0, 1.0), True), TypeError),
        ((np.zeros((4, 4, 4), np.uint8), (1.0, 1.0, "1"), True), TypeError),
        ((np.zeros((4, 4, 4), np.uint8), (1.0, 0.0, 1.0), True), ValueError),
        ((np.zeros((4, 4, 4), np.uint8), (1.0, float("nan"), 1.0), True), ValueError),
        ((np.zeros((4, 4, 4), np.uint8), (1.0, 1.0, float("inf")), True), ValueError),
    ],
)
def test_malformed_arguments_are_refused(args: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        _surface.extract(*args)


def test_the_interpreter_runs_on_meanwhile() -> None:
    volume = seeded(0).integers(0, 256, (100, 96, 96), dtype=np.uint8)
    span: list[float] = []

    def work() -> None:
        began = time.perf_counter()
        _surface.extract(volume, UNIT, True)
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
