"""Which point of the photo the nodes on the head's island show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from protome.geometry import F32, I32
from protome.mesh.colour import raster
from protome.mesh.colour.visibility import sight
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import seeded, sphere

from .texture_inputs import hairy

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

BOTH = (kernel, raster)


def floats(data: bytearray, *shape: int) -> F32:
    return np.frombuffer(data, np.float32).reshape(shape)


def test_normals_are_equal() -> None:
    ball = sphere(60.0)
    posed, triangles = ball.posed, ball.head.triangles
    ours, reference = (floats(m.normals(posed, triangles), len(posed), 3) for m in BOTH)
    np.testing.assert_allclose(ours, reference, atol=1e-4)
    outwards = posed - posed.mean(axis=0)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert (ours * outwards).sum(axis=1).min() > 0.98
    assert not floats(kernel.normals(posed, triangles[:0]), len(posed), 3).any()


def on_head(seed: int) -> tuple[I32, F32, F32]:
    """Corners and shares of nodes on the head's island, and what vertices show."""
    rng = seeded(seed)
    shares = rng.dirichlet([1, 1, 1], 500)[:, 1:].astype(np.float32)
    seen = rng.uniform([-1, -1, 0], [2, 2, 1], (90, 3)).astype(np.float32)
    return rng.integers(0, 90, (500, 3), np.int32), shares, seen


def test_traces_of_the_head_are_equal() -> None:
    ours, reference = np.ones((2, 500, 3), np.float32)
    for module, trace in zip(BOTH, (ours, reference), strict=True):
        module.trace_head(*on_head(3), trace)
    np.testing.assert_allclose(ours, reference, atol=1e-5)
    assert 0 <= ours[:, 2].min() < 0.5 < ours[:, 2].max() <= 1


def test_wrong_arguments_are_refused() -> None:
    mesh = sphere(20.0)
    nodes, drawn = on_head(0), np.zeros((500, 3), np.float32)
    wrong: list[Callable[[], object]] = [
        lambda: kernel.normals(mesh.posed, mesh.head.triangles + np.int32(10**6)),
        lambda: kernel.normals(mesh.posed, mesh.head.triangles - np.int32(1)),
        lambda: kernel.normals(mesh.posed * np.float32(np.inf), mesh.head.triangles),
        lambda: kernel.trace_head(nodes[0] + np.int32(90), *nodes[1:], drawn),
        lambda: kernel.trace_head(nodes[0], nodes[1] * np.float32(9), nodes[2], drawn),
        lambda: kernel.trace_head(*nodes[:2], nodes[2][:5], drawn),
        lambda: kernel.trace_head(*nodes, drawn[:7]),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match=r"must|range"):
            call()
    with pytest.raises(TypeError):
        kernel.normals(mesh.posed, mesh.head.triangles.astype(np.uint32))
    drawn.flags.writeable = False
    with pytest.raises(ValueError, match=r"writable|read-only"):
        kernel.trace_head(*nodes, drawn)


@pytest.mark.parametrize(("thick", "shown"), [(14, 1), (34, 0)])
def test_skin_shows_the_photo_under_thin_hair_alone(thick: float, shown: float) -> None:
    surface = hairy(thick)
    normals = floats(kernel.normals(surface.posed, surface.head.triangles), len(surface.posed), 3)
    seen = sight(surface).of_skin(surface.posed, normals)[:, 2]
    middle = surface.posed.mean(axis=0)
    front = (normals[:, 2] < -0.6) & (np.abs(surface.posed[:, 0] - middle[0]) < 20)
    above, below = (front & (sign * (surface.posed[:, 1] - middle[1]) > 6) for sign in (-1, 1))
    under = above & (surface.posed[:, 1] < middle[1] - 18)
    assert np.median(seen[under]) == shown
    assert shown or seen[under].max() == 0
    assert seen[below].min() > 0.9
