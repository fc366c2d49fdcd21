"""Check what the functions of the C kernel return."""

from __future__ import annotations

from typing import Any, Final

import meshopt
import numpy as np

from .kernel_draws import Arguments, Array

# Functions that write their last argument.
WRITING: Final = ("blend", "fade", "trace_head")


def results(name: str, arguments: Arguments, result: Any) -> tuple[bytes, ...]:
    """What a call returned or wrote, as bytes."""
    if name in WRITING:
        return (arguments[-1].tobytes(),)
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(repr(part).encode() if isinstance(part, int) else bytes(part) for part in parts)


def check(name: str, arguments: Arguments, result: Any) -> None:
    """Check that a result is what the function's documentation says."""
    if name == "compose":
        _check_mesh(arguments, result)
    elif name == "lay_out":
        _check_layout(arguments, result)
    elif name in WRITING:
        assert result is None
    elif name == "encode_triangles":
        _check_triangles(arguments, result)
    elif name == "encode_rows":
        _check_rows(arguments, result)
    elif name == "snap":
        points = np.frombuffer(result[0], np.uint16).reshape(-1, 3)
        assert result[1] == len(np.unique(points, axis=0))
    elif name == "outline":
        around, inside = map(len, result)
        assert around == 2 * inside == arguments[0].nbytes
    elif name == "pixels":
        assert len(result) == 4 * arguments[0].size // 3
    elif name == "halve":
        assert len(result) == 4 * (arguments[0].shape[0] // 2) * (arguments[0].shape[1] // 2)
    elif name == "octahedral":
        assert len(result) == 4 * len(arguments[0])
    else:
        _check_floats(name, arguments, np.frombuffer(result, np.float32))


def _check_floats(name: str, arguments: Arguments, floats: Array) -> None:
    if name == "depth":
        assert len(floats) == 2 * arguments[-1] ** 2
        assert not np.isnan(floats).any()
    elif name == "normals":
        assert len(floats) == 3 * len(arguments[0])
        assert np.abs(floats).max(initial=0) <= 1 + 1e-6
    elif name == "seen":
        assert len(floats) == 3 * len(arguments[2])
        shown = floats.reshape(-1, 3)
        assert ((shown[:, :2] >= -1) & (shown[:, :2] <= 2)).all()
        if all(np.isfinite(arguments[k]).all() for k in (1, 6)):
            assert not ((shown[:, 2] < 0) | (shown[:, 2] > 1)).any()
    elif name == "trace":
        assert len(floats) == 3 * arguments[-1] ** 2
        assert np.isfinite(floats).all()
        weights = floats[2::3]
        assert weights.min() >= 0
        assert weights.max() <= 1 + 1e-6  # An interpolated 1 is rounded.
    elif name == "disk":
        assert len(floats) == 2 * len(arguments[1])
        assert np.isfinite(floats).all()
    elif name == "move":
        assert len(floats) == 3 * len(arguments[1])
    elif name == "facing":
        assert floats.shape == (12 * len(arguments[1]) ** 2,)
        assert np.abs(floats).max() <= 1 + 1e-5
    elif name == "plan":
        cells = floats.reshape(*arguments[1].shape, 8)
        assert ((cells >= 0) & (cells <= np.repeat([255, 1], [6, 2]))).all()
    else:
        assert len(floats) == 4 * arguments[-1] ** 2
        assert np.isfinite(floats).all()


def _check_layout(arguments: Arguments, result: Any) -> None:
    places, source, triangles, in_hair, _ = result
    count = len(source) // 4
    assert len(places) == 8 * count
    assert len(triangles) == 12 * len(arguments[3])
    assert 0 <= in_hair <= count
    numbers, owners = np.frombuffer(triangles, np.uint32), np.frombuffer(source, np.uint32)
    assert not len(numbers) or int(numbers.max()) < count
    assert not count or int(owners.max()) < len(arguments[1])
    assert (owners[numbers].reshape(-1, 3) == arguments[3]).all()
    assert np.isfinite(np.frombuffer(places, np.float32)).all()


def _check_triangles(arguments: Arguments, result: Any) -> None:
    triangles = np.asarray(arguments[0])
    order = np.frombuffer(result[1], np.uint32)
    assert len(order) == len(np.unique(triangles))
    if len(triangles):
        read = meshopt.decode_gltf_buffer(bytes(result[0]), triangles.size, 4, "TRIANGLES")
        assert (np.sort(order[read].reshape(-1, 3)) == np.sort(triangles)).all()


def _check_rows(arguments: Arguments, result: Any) -> None:
    rows, order = arguments
    stride = -(-rows.shape[1] // 4) * 4
    read = meshopt.decode_gltf_buffer(bytes(result), len(order), stride, "ATTRIBUTES")
    assert (np.asarray(read)[:, : rows.shape[1]] == rows[order]).all()


def _check_mesh(arguments: Arguments, result: Any) -> None:
    vertices, normals, triangles, source, weights = result
    count = len(source) // 4
    assert (len(vertices), len(normals), len(weights)) == (12 * count, 12 * count, 8 * count)
    numbers = np.frombuffer(triangles, np.uint32)
    assert len(numbers) % 3 == 0
    assert not len(numbers) or int(numbers.max()) < count
    owners = np.frombuffer(source, np.int32)
    assert not count or (owners.min() >= -1 and owners.max() < len(arguments[1]))
    for floats in (vertices, normals, weights):
        assert np.isfinite(np.frombuffer(floats, np.float32)).all()
