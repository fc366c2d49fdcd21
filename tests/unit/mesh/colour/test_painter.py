"""The compiled painter does what its reference in NumPy does, and refuses what is wrong."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from protome.geometry import Frame
from protome.mesh.colour import raster
from protome.mesh.colour.paint import large
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import seeded, sphere

from .painter_inputs import (
    CELLS,
    NODES,
    SIDE,
    floats,
    inputs,
    placed,
    scattered,
)

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

BOTH = (kernel, raster)


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
        maps - np.float32(4),
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
        [floats(part, -1, 208, 208) for part in m.outline(maps)] for m in BOTH
    )
    np.testing.assert_array_equal(np.minimum(around, 1e9), np.minimum(expected, 1e9))
    assert (around < maps).any(axis=(1, 2)).all()
    np.testing.assert_allclose(np.minimum(inside, 3.8), np.minimum(distance, 3.8), atol=1e-3)
    assert 0.2 < (inside > 3.8).mean() < 0.5
    assert len(np.unique(inside)) > 5
    filled = [np.frombuffer(part, np.float32) for part in kernel.outline(np.ones_like(maps))]
    assert (filled[0] == 1).all()
    assert filled[1].min() > 3.8


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
    mouth = rng.integers(0, 2, (64 // step, 64 // step)).astype(np.uint8)
    ours, reference = drawn.copy(), drawn.copy()
    kernel.fade(mouth, ours)
    raster.fade(mouth, reference)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    assert (ours[:, :, :2] == drawn[:, :, :2]).all()
    assert np.abs(ours[:, :, 2] - drawn[:, :, 2]).mean() > 0.05


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
