"""The compiled codec writes what the package meshopt writes, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import meshopt
import numpy as np
import pytest

from protome.geometry import U32
from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files import packaged
from protome.mesh.shape.surface import COMPILED
from tests.support.shapes import seeded, sphere

if COMPILED:
    from protome.mesh import _kernel as kernel
else:
    pytest.skip("no compiler built the kernel", allow_module_level=True)

WITHOUT_KERNEL = """
import sys
sys.modules["protome.mesh._kernel"] = None
from protome.mesh.files.codec import codec
print(codec.__name__)
"""


def test_the_package_encodes_where_the_kernel_cannot_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERNEL], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == packaged.__name__


def grid(rows: int, columns: int) -> U32:
    """The triangles of a flat grid of points, (rows, columns)."""
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    halves = np.stack([np.stack([a, b, c], axis=-1), np.stack([b, d, c], axis=-1)], axis=2)
    return np.ascontiguousarray(halves.reshape(-1, 3), np.uint32)


def same_triangles(triangles: U32, count: int) -> None:
    """Check both encoders' codes and order, and that the codes give the triangles again."""
    data, order = kernel.encode_triangles(triangles, count)
    expected, expected_order = packaged.encode_triangles(triangles, count)
    assert bytes(order) == expected_order
    assert bytes(data) == expected
    decoded = meshopt.decode_gltf_buffer(bytes(data), triangles.size, 4, "TRIANGLES")
    corners = np.frombuffer(order, np.uint32)[np.asarray(decoded)].reshape(-1, 3)
    first = np.arange(3)[None] + (corners == triangles[:, :1]).argmax(axis=1)[:, None]
    np.testing.assert_array_equal(np.take_along_axis(corners, first % 3, axis=1), triangles)


def test_the_triangles_of_heads_are_encoded_alike(meshes: dict[Appearance, Mesh]) -> None:
    for mesh in meshes.values():
        same_triangles(mesh.triangles, len(mesh.positions))
    same_triangles(sphere(40.0).triangles, len(sphere(40.0).vertices))


@pytest.mark.parametrize("seed", range(6))
def test_triangles_in_any_order_are_encoded_alike(seed: int) -> None:
    rng = seeded(seed)
    triangles = grid(*rng.integers(2, 40, 2).tolist())
    count = int(triangles.max()) + 1
    same_triangles(triangles, count)
    same_triangles(triangles[rng.permutation(len(triangles))], count)
    # Vertices that no triangle uses, and numbers far from each other.
    spread = np.sort(rng.choice(100_000, count, replace=False)).astype(np.uint32)
    same_triangles(spread[triangles], 100_000)
    single = rng.permutation(3 * 500).astype(np.uint32).reshape(-1, 3)
    same_triangles(single, 3 * 500)


def test_triangles_that_repeat_are_read_back() -> None:
    """The package starts its numbers anew at them, which its format allows but does not need."""
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]] * 30, np.uint32)
    data, _ = kernel.encode_triangles(triangles, 9)
    decoded = np.asarray(meshopt.decode_gltf_buffer(bytes(data), triangles.size, 4, "TRIANGLES"))
    np.testing.assert_array_equal(np.sort(decoded.reshape(-1, 3)), triangles)


@pytest.mark.parametrize("width", [1, 3, 4, 6, 8, 12, 60, 255, 256])
@pytest.mark.parametrize("levels", [1, 2, 4, 9, 40, 256])
def test_rows_are_encoded_alike(width: int, levels: int) -> None:
    rng = seeded(width * levels)
    for count in (1, 15, 16, 17, 255, 256, 257, 700):
        steps = rng.integers(0, levels, (count, width))
        for values in (steps, np.cumsum(steps, axis=0), -np.cumsum(steps, axis=0)):
            rows = np.ascontiguousarray(values % 256, np.uint8)
            order = rng.permutation(count).astype(np.uint32)[: max(1, count - 3)]
            found = bytes(kernel.encode_rows(rows, order))
            assert found == packaged.encode_rows(rows, order)
            stride = -(-width // 4) * 4
            read = meshopt.decode_gltf_buffer(found, len(order), stride, "ATTRIBUTES")
            decoded = np.asarray(read).reshape(-1, stride)
            np.testing.assert_array_equal(decoded[:, :width], rows[order])
            assert not decoded[:, width:].any()


def test_normals_are_encoded_alike() -> None:
    normals = seeded(1).normal(size=(5000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    axes = np.concatenate([np.eye(3), -np.eye(3), np.zeros((1, 3))])
    every = np.concatenate([normals, axes]).astype(np.float32)
    assert bytes(kernel.octahedral(every)) == packaged.octahedral(every)


@pytest.mark.parametrize("steps", [1, 15, 4095, 65535])
def test_positions_are_snapped_alike(steps: int) -> None:
    rng = seeded(steps)
    for count in (1, 7, 3000):
        positions = rng.uniform(-0.1, 0.2, (count, 3)).astype(np.float32)
        positions[count // 2 :] = positions[: count - count // 2]
        low = positions.min(axis=0).astype(np.float64)
        step = max(float(np.ptp(positions, axis=0).max()), 1e-6) / steps
        points, different = kernel.snap(positions, low, step)
        expected, number = packaged.snap(positions, low, step)
        assert (bytes(points), different) == (expected, number)


def test_positions_beyond_the_grid_are_at_its_end() -> None:
    positions = np.array([[-1, 0, 1e30], [0.5, 2, -1e30]], np.float32)
    for codec in (kernel, packaged):
        points, different = codec.snap(positions, np.zeros(3), 1.0)
        assert np.frombuffer(points, np.uint16).tolist() == [0, 0, 65535, 0, 2, 0]
        assert different == 2


TRIANGLES = np.zeros((2, 3), np.uint32)
ROWS = np.zeros((4, 3), np.uint8)
ORDER = np.zeros(2, np.uint32)
NORMALS = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("encode_triangles", (TRIANGLES, 0), ValueError),
        ("encode_triangles", (TRIANGLES, -1), ValueError),
        ("encode_triangles", (TRIANGLES, (1 << 26) + 1), ValueError),
        ("encode_triangles", (TRIANGLES[:, :2].copy(), 4), ValueError),
        ("encode_triangles", (TRIANGLES.astype(np.int32), 4), TypeError),
        ("encode_triangles", (TRIANGLES[::-1], 4), ValueError),
        ("encode_triangles", (None, 4), TypeError),
        ("encode_rows", (ROWS, ORDER + np.uint32(4)), ValueError),
        ("encode_rows", (ROWS, ORDER[:0]), ValueError),
        ("encode_rows", (ROWS[:, :0].copy(), ORDER), ValueError),
        ("encode_rows", (np.zeros((4, 257), np.uint8), ORDER), ValueError),
        ("encode_rows", (ROWS.ravel(), ORDER), ValueError),
        ("encode_rows", (ROWS, ORDER.astype(np.int64)), TypeError),
        ("octahedral", (NORMALS + np.float32(1.1),), ValueError),
        ("octahedral", (NORMALS * np.float32(np.nan),), ValueError),
        ("octahedral", (NORMALS.astype(np.float64),), TypeError),
        ("octahedral", (), TypeError),
        ("snap", (NORMALS, np.zeros(2), 1.0), ValueError),
        ("snap", (NORMALS[:0], np.zeros(3), 1.0), ValueError),
        ("snap", (NORMALS, np.full(3, np.nan), 1.0), ValueError),
        ("snap", (NORMALS + np.float32(np.inf), np.zeros(3), 1.0), ValueError),
        ("snap", (NORMALS, np.zeros(3), 0.0), ValueError),
        ("snap", (NORMALS, np.zeros(3), np.nan), ValueError),
        ("snap", (NORMALS, np.zeros(3), np.inf), ValueError),
        ("snap", (NORMALS, np.zeros(3, np.float32), 1.0), TypeError),
    ],
)
def test_malformed_arguments_are_refused(
    name: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(kernel, name)(*arguments)


def test_no_triangles_are_encoded_as_none() -> None:
    data, order = kernel.encode_triangles(TRIANGLES[:0], 5)
    assert (len(data), len(order)) == (17, 0)
