"""The compiled painter refuses wrong arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protome.geometry import Frame
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import sphere

from .painter_inputs import CELLS, SIDE, inputs, placed, scattered, seen_cells

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)


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
    seen = mesh.vertices, mesh.normals, which, maps, maps
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
        lambda: kernel.seen(*seen[:3], maps[:1], maps, square, sides, False),
        lambda: kernel.seen(*seen[:4], maps[:, :7], square, sides, False),
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
