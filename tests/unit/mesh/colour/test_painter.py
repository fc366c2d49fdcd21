"""The compiled painter does what its reference in NumPy does, and refuses what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from protome.geometry import F32, U8, U32, Frame
from protome.mesh.colour import raster
from protome.mesh.colour.paint import large
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import seeded, sphere

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

NODES, CELLS, SIDE = 64, 16, 256
BOTH = (kernel, raster)


def floats(data: bytearray, *shape: int) -> F32:
    return np.frombuffer(data, np.float32).reshape(shape)


def scattered(seed: int, size: float = 0.08) -> tuple[F32, U32, F32, int]:
    """Places, triangles, and what places show, of many triangles of all sizes."""
    rng = seeded(seed)
    middle = rng.uniform(-0.1, 1.1, (400, 1, 2))
    places = (middle + rng.normal(0, size, (400, 3, 2)) * rng.random((400, 1, 1))).reshape(-1, 2)
    # Neighbours show neighbouring points, as on a head.
    spots = 0.1 + 0.8 * places + 0.05 * np.sin(9 * places[:, ::-1])
    weights = rng.random(1200) * (rng.random(1200) < 0.7)
    seen = np.concatenate([spots, weights[:, None]], axis=1)[90:]
    numbers = np.arange(1200, dtype=np.uint32).reshape(-1, 3)
    return places.astype(np.float32), numbers, seen.astype(np.float32), 90


def inputs(seed: int = 0) -> tuple[F32, F32, U32]:
    """A trace, a plan and a photo."""
    rng = seeded(seed)
    trace = floats(raster.trace(*scattered(seed), NODES), NODES, NODES, 3)
    plan = rng.uniform(0, 255, (CELLS, CELLS, 8)).astype(np.float32)
    for share in (6, 7):
        plan[:, :, share] = rng.choice([0, 0.3, 1], (CELLS, CELLS))
    ramp = np.linspace(0, 255, 200)
    photo = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 90), axis=2)
    return trace, plan, pixels(photo)


def pixels(photo: npt.NDArray[Any]) -> U32:
    """A photo as the painter takes it."""
    channels: U32 = photo.astype(np.uint32)
    return np.asarray(channels @ np.array([1, 1 << 8, 1 << 16], np.uint32), np.uint32)


@pytest.mark.parametrize("side", [52, 208])
def test_depth_maps_are_equal(side: int) -> None:
    surface = sphere(60.0)
    vertices = surface.vertices * np.float32(side / 208)
    source = np.where(vertices[:, 1] < side / 3, -1, 0).astype(np.int32)
    args = np.ascontiguousarray(vertices), source, surface.triangles, side
    ours, reference = (floats(m.depth(*args), 2, side, side) for m in BOTH)
    assert np.isfinite(reference[0]).mean() > 0.1
    assert np.isfinite(reference[1]).mean() > 0.02
    assert np.isinf(reference).any(axis=0).all(), "each is hair or head"
    # Where a centre lies on an edge either may be right.
    assert (np.isfinite(ours) != np.isfinite(reference)).mean() < 1e-3
    both = np.isfinite(ours) & np.isfinite(reference)
    assert np.quantile(np.abs(ours[both] - reference[both]), 0.999) < 1e-2
    assert ours[0, side // 2, side // 2] < vertices[:, 2].mean(), "the front, not the back"


@pytest.mark.parametrize("seed", range(5))
def test_traces_are_equal(seed: int) -> None:
    args = *scattered(seed), NODES
    ours, reference = (floats(m.trace(*args), NODES, NODES, 3) for m in BOTH)
    assert 0.1 < (reference[:, :, 2] > 0).mean() < 0.99
    assert np.quantile(np.abs(ours - reference).max(axis=2), 0.99) < 1e-3


BRIDGE = [[0.2, 0.2], [0.2, 0.9], [0.9, 0.2]]
OVERHANG = [[0.295, 0.295], [0.325, 0.295], [0.295, 0.325]]


@pytest.mark.parametrize(("below", "free"), [(BRIDGE, 120), (OVERHANG, 76)])
@pytest.mark.parametrize("painter", BOTH)
def test_bridges_and_overhangs_lie_below_other_triangles(
    painter: Any, below: list[list[float]], free: int
) -> None:
    places = np.array([[0.3, 0.3], [0.3, 0.32], [0.32, 0.3], *below], np.float32)
    seen = np.repeat([[0.2, 0.2, 1], [0.215, 0.215, 1]], 3, axis=0).astype(np.float32)
    for order in ([0, 1], [1, 0]):
        triangles = np.arange(6, dtype=np.uint32).reshape(2, 3)[order]
        args = places, np.ascontiguousarray(triangles), seen, 0, 256
        found = floats(painter.trace(*args), 256, 256, 3)
        assert found[77, 77, 0] == pytest.approx(0.2)
        assert found[free, free, 0] == pytest.approx(0.215)


@pytest.mark.parametrize("painter", BOTH)
def test_nothing_is_shown_between_two_layers(painter: Any) -> None:
    low, high = np.array([[0.3, 0.3], [0.3, 0.33], [0.33, 0.33]]), np.array([0.0, 0.027])
    places = np.concatenate([low, low + high]).astype(np.float32)
    seen = np.repeat([[0.2, 0.2, 1], [0.8, 0.8, 1]], 3, axis=0).astype(np.float32)
    triangles = np.arange(6, dtype=np.uint32).reshape(2, 3)
    found = floats(painter.trace(places, triangles, seen, 0, 256), 256, 256, 3)
    column = found[80:90, 77]
    assert column[[0, -1], 2] == pytest.approx(1)
    shown = column[column[:, 2] > 0, 0]
    assert np.minimum(abs(shown - 0.2), abs(shown - 0.8)).max() < 1e-6
    assert np.count_nonzero(column[:, 2] == 0) >= 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_pictures_are_equal(seed: int, side: int) -> None:
    ours, reference = np.zeros((2, side, side, 3), np.uint8)
    trace, plan, photo = inputs(seed)
    kernel.blend(trace, plan, photo, ours)
    raster.blend(trace, plan, photo, reference)
    apart = np.abs(ours.astype(int) - reference)
    assert apart.mean() < 1.5
    assert np.quantile(apart, 0.99) <= 8
    plain = np.zeros_like(reference)
    kernel.blend(trace * np.array([1, 1, 0], np.float32), plan, photo, plain)
    assert 0.2 < (np.abs(reference.astype(int) - plain) > 1).mean() < 0.99


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_picture_without_a_photo_is_the_plan(step: int) -> None:
    _, plan, photo = inputs(1)
    picture = np.zeros((step * NODES, step * NODES, 3), np.uint8)
    kernel.blend(np.zeros((NODES, NODES, 3), np.float32), plan, photo, picture)
    expected = large(plan[:, :, :3], len(picture))
    assert np.abs(picture - expected).max() < 2.2


def test_a_picture_of_the_photo_alone_is_the_photo() -> None:
    _, plan, photo = inputs()
    at = (np.arange(NODES) + 0.5) / NODES
    trace = np.stack(np.broadcast_arrays(at, at[:, None], 1.0), axis=2).astype(np.float32)
    plan[:, :, 6], plan[:, :, 7] = 1, 0
    got = np.zeros((SIDE, SIDE, 3), np.uint8)
    kernel.blend(trace, plan, photo, got)
    reds = photo[0] & 255
    ramp = np.interp((np.arange(SIDE) + 0.5) / SIDE * 200 - 0.5, np.arange(200), reds)
    inner = slice(8, -8)
    assert np.abs(got[100, inner, 0] - ramp[inner]).max() <= 2
    assert (got[:, :, 2] == 90).all()


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_equal(seed: int) -> None:
    trace, _, photo = inputs(seed)
    ours, reference = (floats(m.gather(trace, photo, CELLS), CELLS, CELLS, 4) for m in BOTH)
    assert np.abs(ours - reference).max() < 2
    assert reference[:, :, :3].max() > 50


def seen_cells(seed: int, cells: int = 64) -> tuple[F32, U8, U8, F32, int, int]:
    """What a plan follows from: a lit, coloured head of which some is seen."""
    rng = seeded(seed)
    y, x = (np.indices((cells, cells)) + 0.5) / cells
    facing = np.stack([x - 0.5, y - 0.5, -np.ones_like(x)], axis=2)
    facing /= np.linalg.norm(facing, axis=2, keepdims=True)
    bands = (np.sin(9 * x + seed) + np.sin(7 * y)) * 1.5
    groups = np.where(y < 0.5, np.clip(np.round(bands), 0, 5), 2).astype(np.uint8)
    weight = np.clip(2 * np.sin(5 * x + 2 * seed) + np.sin(8 * y) + 0.3, 0, 1)[:, :, None]
    colour = (160 - 50 * (groups == 2))[:, :, None] * np.array([1, 0.8, 0.7])
    colour = colour * np.exp(facing @ [0.4, 0.1, 0])[:, :, None] + rng.normal(
        0, 6, (cells, cells, 3)
    )
    sums = np.concatenate([np.clip(colour, 0, 255) * weight, weight], axis=2)
    mouth = (groups == 3).astype(np.uint8)
    return sums.astype(np.float32), groups, mouth, facing.astype(np.float32), cells // 2, 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cells", [32, 64])
def test_plans_are_equal(seed: int, cells: int) -> None:
    args = seen_cells(seed, cells)
    ours, reference = (floats(m.plan(*args), cells, cells, 8) for m in BOTH)
    apart = np.abs(ours - reference)
    assert apart[:, :, :6].mean() < 0.2
    assert np.quantile(apart[:, :, :6], 0.99) < 2
    assert np.quantile(apart[:, :, 6:], 0.99) < 0.01
    assert 0.1 < (reference[:, :, 6] > 0.5).mean() < 0.9


@pytest.mark.parametrize("cells", [2, 4, 64])
def test_a_plan_of_nothing_is_one_colour(cells: int) -> None:
    sums, groups, mouth, facing, rows, _ = seen_cells(0, cells)
    args = sums * np.float32(0), groups * np.uint8(0), mouth, facing, rows, 0
    ours, reference = (floats(m.plan(*args), cells, cells, 8) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=0.01)
    assert (ours[:, :, :3].round() == 128).all()


@pytest.mark.parametrize("bare", [False, True])
def test_visibilities_are_equal(bare: bool) -> None:
    ball = sphere(60.0)
    drawn = kernel.depth(ball.vertices, ball.source, ball.triangles, 208)
    maps = floats(drawn, 2, 208, 208)
    inside = np.where(np.isfinite(maps[0]), 8, 0).astype(np.float32)
    inside[:, 100:] = 2
    maps[0, :60] -= 30
    maps[1, 120:, :70] = maps[0, 120:, :70] - 5
    which = np.arange(5, len(ball.vertices), dtype=np.uint32)[::-1].copy()
    args = (
        ball.vertices,
        ball.normals,
        which,
        maps,
        maps.min(axis=0) - np.float32(4),
        inside,
        Frame(70.0, 5.0, roll=8).sides(),
        bare,
    )
    ours, reference = (floats(m.seen(*args), len(which), 3) for m in BOTH)
    assert np.abs(ours - reference).max() < 1e-4
    np.testing.assert_allclose(ours[:, :2] * 208, ball.vertices[which, :2], atol=1e-3)
    weight = reference[:, 2]
    assert 0.05 < (weight == 1).mean() < (weight > 0).mean() < 0.5


def test_outlines_are_equal() -> None:
    ball = sphere(60.0)
    source = np.where(ball.vertices[:, 1] < 80, -1, 0).astype(np.int32)
    drawn = kernel.depth(ball.vertices + np.float32(30), source, ball.triangles, 208)
    maps = floats(drawn, 2, 208, 208)
    (around, inside), (expected, distance) = (
        [floats(part, 208, 208) for part in m.outline(maps)] for m in BOTH
    )
    np.testing.assert_array_equal(np.minimum(around, 1e9), np.minimum(expected, 1e9))
    np.testing.assert_allclose(np.minimum(inside, 3), np.minimum(distance, 3), atol=1e-3)
    assert 0.2 < (inside > 3).mean() < 0.5
    assert len(np.unique(inside)) > 5
    filled = [np.frombuffer(part, np.float32) for part in kernel.outline(np.ones_like(maps))]
    assert (filled[0] == 1).all()
    assert filled[1].min() > 3


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (2, 3), (31, 40), (40, 31)])
def test_pixels_are_equal(shape: tuple[int, int]) -> None:
    photo = np.asarray(seeded(1).integers(0, 256, (*shape, 3)), np.uint8)
    ours, reference = (bytes(m.pixels(photo)) for m in BOTH)
    assert ours == reference
    whole = np.frombuffer(ours, np.uint32).reshape(shape)
    assert bytes(kernel.halve(whole)) == bytes(raster.halve(whole))


@pytest.mark.parametrize("step", [1, 4])
def test_the_photo_fades_alike(step: int) -> None:
    rng = seeded(step)
    drawn = rng.random((64, 64, 3)).astype(np.float32)
    drawn[:, :, 2] = np.minimum(1.5 * cv2.blur(drawn[:, :, 2], (5, 5)), 1) * (drawn[:, :, 1] > 0.1)
    kinds = rng.integers(0, 3, (64 // step, 64 // step)).astype(np.uint8)
    ours, reference = drawn.copy(), drawn.copy()
    kernel.fade(kinds, ours)
    raster.fade(kinds, reference)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    assert (ours[:, :, :2] == drawn[:, :, :2]).all()
    assert np.abs(ours[:, :, 2] - drawn[:, :, 2]).mean() > 0.05


@pytest.mark.parametrize("hair", [0.0, 0.3])
def test_layouts_are_equal(hair: float) -> None:
    rng = seeded(5)
    n = 3000
    corners = rng.random((500, 3, 2)).astype(np.float32)
    corners[:, 1:] = 0.1 * (corners[:, 1:] - 0.5)
    source = rng.integers(0, 500, n).astype(np.int32)
    source[rng.random(n) < hair] = -1
    weights = rng.random((n, 2)).astype(np.float32)
    triangles = rng.integers(0, n - 50, (800, 3)).astype(np.uint32)
    args = corners, source, weights, triangles, 1 / 64, 0.5
    ours, reference = (m.lay_out(*args) for m in BOTH)
    assert ours[1:] == reference[1:]
    places, expected = (floats(r[0], len(r[1]) // 4, 2) for r in (ours, reference))
    assert np.abs(places - expected).max() < 1e-5
    numbers = np.frombuffer(ours[1], np.uint32)[np.frombuffer(ours[2], np.uint32)]
    np.testing.assert_array_equal(numbers, triangles.ravel())


def placed(seed: int) -> tuple[F32, U32, F32]:
    """Vertices, some of them, and a frame or matrix."""
    rng = seeded(seed)
    vertices = rng.normal(0, 60, (900, 3)).astype(np.float32)
    which = rng.integers(0, 900, 500).astype(np.uint32)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return vertices, which, np.concatenate([[[5, 9, -4]], axes]).astype(np.float32)


@pytest.mark.parametrize("growth", [0.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_places_in_the_disk_are_equal(seed: int, growth: float) -> None:
    vertices, which, frame = placed(seed)
    vertices[which[0]] = frame[0]
    args = vertices, which, frame, 2.9, growth, 0.48, 0.24, 0.75
    ours, reference = (floats(m.disk(*args), 500, 2) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    assert ours.std() > 0.1


def test_moved_rows_are_equal() -> None:
    vertices, which, frame = placed(0)
    matrix = np.ascontiguousarray(frame.T)
    ours, reference = (floats(m.move(vertices, which, matrix), 500, 3) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=1e-3)
    assert ours.std() > 10


def test_directions_are_equal() -> None:
    vertices, which, _ = placed(0)
    corners = which[:192].astype(np.int32).reshape(8, 8, 3)
    corners[0, 0] = 5  # no area
    ours, reference = (floats(m.facing(vertices, corners), 16, 16, 3) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    assert np.linalg.norm(ours, axis=2).max() > 0.9


def bent(**changes: Any) -> Callable[[], object]:
    """A call of trace with some arguments changed."""
    names = "places", "triangles", "seen", "first"
    args: dict[str, Any] = {**dict(zip(names, scattered(0), strict=True)), "nodes": 8, **changes}
    return lambda: kernel.trace(*args.values())


def test_wrong_arguments_are_refused() -> None:
    places, triangles, shown, _ = scattered(0)
    trace, plan, photo = inputs()
    bad_plan, bad_trace = plan.copy(), trace.copy()
    bad_plan[0, 0, 6] = 1.5
    bad_trace[0, 0, 0] = np.nan
    mesh = sphere(20.0)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    fixed = picture.copy()
    unwritten = trace.copy()
    fixed.flags.writeable = unwritten.flags.writeable = False
    square = np.zeros((8, 8), np.float32)
    maps = np.zeros((2, 8, 8), np.float32)
    which = np.arange(7, dtype=np.uint32)
    seen = mesh.vertices, mesh.normals, which, maps, square
    sides = Frame().sides()
    corners = np.zeros((4, 3, 2), np.float32)
    source, shares = np.zeros(9, np.int32), np.zeros((9, 2), np.float32)
    numbers = np.arange(9, dtype=np.uint32).reshape(3, 3)
    sums, groups, mouth, facing, rows, strip = seen_cells(0, 8)
    vertices, some, frame = placed(0)
    matrix = np.ascontiguousarray(frame.T)
    of_disk = frame, 2.9, 2.0, 0.5, 0.2, 0.7
    triangles_ = np.zeros((4, 4, 3), np.int32)
    wrong: list[Callable[[], object]] = [
        lambda: kernel.disk(vertices, some + np.uint32(900), *of_disk),
        lambda: kernel.disk(vertices * np.float32(np.nan), some, *of_disk),
        lambda: kernel.disk(vertices, some, frame[:3], *of_disk[1:]),
        lambda: kernel.disk(vertices, some, frame, 0.0, *of_disk[2:]),
        lambda: kernel.disk(vertices, some, frame, 2.9, -0.5, *of_disk[3:]),
        lambda: kernel.disk(vertices, some, *of_disk[:5], float("nan")),
        lambda: kernel.disk(vertices, some, *of_disk[:5], 1.5),
        lambda: kernel.move(vertices, some + np.uint32(900), matrix),
        lambda: kernel.move(vertices, some, matrix[:2]),
        lambda: kernel.move(vertices, some, frame),
        lambda: kernel.facing(vertices, triangles_ + np.int32(900)),
        lambda: kernel.facing(vertices, triangles_ - np.int32(1)),
        lambda: kernel.facing(vertices, triangles_[:3]),
        lambda: kernel.facing(vertices, triangles_[:0, :0]),
        lambda: kernel.facing(vertices * np.float32(np.inf), triangles_),
        bent(places=places[:5]),
        bent(seen=shown * np.float32(np.nan)),
        bent(seen=shown + np.float32(4)),
        bent(seen=shown[:5]),
        bent(first=-1),
        bent(first=1201),
        bent(places=places * np.float32(np.inf)),
        bent(triangles=triangles + np.uint32(1)),
        bent(triangles=triangles.reshape(-1)),
        bent(nodes=0),
        bent(nodes=10**6),
        bent(places=places[:, ::-1]),
        lambda: kernel.blend(trace, bad_plan, photo, picture),
        lambda: kernel.blend(bad_trace, plan, photo, picture),
        lambda: kernel.blend(trace, plan, photo[:1], picture),
        lambda: kernel.blend(trace, plan, photo, np.zeros((100, 100, 3), np.uint8)),
        lambda: kernel.blend(trace, plan, photo, picture[:0]),
        lambda: kernel.blend(trace, plan, photo, fixed),
        lambda: kernel.blend(trace[:, :5], plan, photo, picture),
        lambda: kernel.blend(trace, plan[:7, :7], photo, picture),
        lambda: kernel.gather(trace, photo, 7),
        lambda: kernel.gather(trace, photo, 0),
        lambda: kernel.gather(bad_trace, photo, CELLS),
        lambda: kernel.gather(trace, photo[:1], CELLS),
        lambda: kernel.plan(-sums, groups, mouth, facing, rows, strip),
        lambda: kernel.plan(sums * np.float32(np.nan), groups, mouth, facing, rows, strip),
        lambda: kernel.plan(sums, groups + np.uint8(6), mouth, facing, rows, strip),
        lambda: kernel.plan(sums, groups, mouth[:7], facing, rows, strip),
        lambda: kernel.plan(sums, groups, mouth, facing * np.float32(9), rows, strip),
        lambda: kernel.plan(sums, groups, mouth, facing, 9, strip),
        lambda: kernel.plan(sums, groups, mouth, facing, rows, 2),
        lambda: kernel.plan(sums, groups, mouth, facing, rows, -1),
        lambda: kernel.plan(sums[:7, :7], groups[:7, :7], mouth, facing, rows, strip),
        lambda: kernel.outline(maps[:1]),
        lambda: kernel.outline(maps[:, :7]),
        lambda: kernel.outline(maps[:, :0, :0]),
        lambda: kernel.pixels(picture[:, :, :2].copy()),
        lambda: kernel.pixels(picture[:, ::2]),
        lambda: kernel.halve(photo[::2]),
        lambda: kernel.halve(photo[0]),
        lambda: kernel.fade(groups[:, :7], trace),
        lambda: kernel.fade(groups[:7, :7], trace),
        lambda: kernel.fade(groups[:0, :0], trace),
        lambda: kernel.fade(groups, trace[:, :7]),
        lambda: kernel.fade(groups, unwritten),
        lambda: kernel.seen(*seen, square[:7], sides, False),
        lambda: kernel.seen(*seen[:3], maps[:1], square, square, sides, False),
        lambda: kernel.seen(*seen[:2], which + np.uint32(10**6), *seen[3:], square, sides, False),
        lambda: kernel.seen(mesh.vertices[:5], *seen[1:], square, sides, False),
        lambda: kernel.seen(mesh.vertices * np.float32(np.inf), *seen[1:], square, sides, False),
        lambda: kernel.lay_out(corners, source + np.int32(4), shares, numbers, 0.1, 0.5),
        lambda: kernel.lay_out(corners, source, shares[:5], numbers, 0.1, 0.5),
        lambda: kernel.lay_out(corners, source, shares, numbers + np.uint32(1), 0.1, 0.5),
        lambda: kernel.lay_out(corners * np.nan, source, shares, numbers, 0.1, 0.5),
        lambda: kernel.lay_out(corners, source, shares, numbers, float("nan"), 0.5),
        lambda: kernel.lay_out(corners, source, shares, numbers, 0.1, float("inf")),
        lambda: kernel.lay_out(corners[:0], source, shares, numbers, 0.1, 0.5),
        lambda: kernel.depth(mesh.vertices, mesh.source, mesh.triangles + np.uint32(10**6), 8),
        lambda: kernel.depth(mesh.vertices * np.float32(np.nan), mesh.source, mesh.triangles, 8),
        lambda: kernel.depth(mesh.vertices, mesh.source[1:], mesh.triangles, 8),
        lambda: kernel.depth(mesh.vertices, mesh.source, mesh.triangles, -1),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match=r"must|range|shape|small|contiguous|read-only"):
            call()
    types: list[Callable[[], object]] = [
        bent(places=places.astype(np.float64)),
        bent(seen=shown.astype(np.float64)),
        bent(triangles=triangles.astype(np.int64)),
        bent(nodes="many"),
        lambda: kernel.blend(trace, plan, photo.astype(np.float32), picture),
        lambda: kernel.gather(trace, photo.astype(np.float32), CELLS),
        lambda: kernel.plan(sums, groups.astype(np.int32), mouth, facing, rows, strip),
        lambda: kernel.seen(*seen, square.astype(np.float64), sides, False),
        lambda: kernel.outline(maps.astype(np.float64)),
        lambda: kernel.pixels(picture.astype(np.int8)),
        lambda: kernel.halve(photo.astype(np.int32)),
        lambda: kernel.disk(vertices, some.astype(np.int32), *of_disk),
        lambda: kernel.move(vertices.astype(np.float64), some, matrix),
        lambda: kernel.facing(vertices, triangles_.astype(np.uint32)),
        lambda: kernel.lay_out(corners, source.astype(np.int64), shares, numbers, 0.1, 0.5),
        lambda: kernel.depth(mesh.vertices, mesh.source, mesh.triangles.astype(np.int16), 8),
    ]
    for call in types:
        with pytest.raises(TypeError):
            call()


def test_no_triangles_are_no_trouble() -> None:
    places, triangles, _, _ = scattered(0)
    none = triangles[:0]
    assert not floats(
        kernel.trace(places, none, np.ones((1200, 3), np.float32), 0, 8), 8, 8, 3
    ).any()
    ball = sphere(20.0)
    assert np.isinf(floats(kernel.depth(ball.vertices, ball.source, none, 8), 2, 8, 8)).all()


def test_the_reference_colours_a_head_as_the_kernel_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from protome.mesh.colour import atlas, cells, trace, visibility
    from protome.mesh.colour import texture as colour

    surface = sphere(60.0)
    crop = np.asarray(seeded(4).integers(0, 256, (26, 26, 3)).repeat(8, 0).repeat(8, 1), np.uint8)
    ours = colour.texture(surface, crop, side=256).picture.astype(int)
    for module in (colour, trace, visibility, atlas, cells):
        monkeypatch.setattr(module, "painter", raster)
    reference = colour.texture(surface, crop, side=256).picture.astype(int)
    assert np.abs(ours - reference).mean() < 2
