"""Draw with NumPy what ``kernel/texture.c`` draws where there is a compiler, more slowly.

The functions take and return the same; the docstrings of the compiled ones say what.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from protome.geometry import F32, U8, U32

# As in texture.c.
BRIDGE: Final = 1 / 32
SLACK: Final = 1e-4
INSIDE: Final = -1e-5
LEAST: Final = 1e-6


def depth(vertices: F32, triangles: U32, side: int, /) -> bytearray:
    """Draw the depth map of a mesh."""
    corners = vertices[triangles.astype(np.intp)]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    towards = first[:, 0] * second[:, 1] <= second[:, 0] * first[:, 1]
    which, cell, weights = _cells(corners[towards, :, :2], side)
    out = np.full(side * side, np.inf, np.float32)
    values = (weights * corners[towards][which, :, 2]).sum(axis=1)
    np.minimum.at(out, cell, values.astype(np.float32))
    return bytearray(out.tobytes())


def trace(places: F32, spots: F32, weights: F32, triangles: U32, nodes: int, /) -> bytearray:
    """Find which point of a photo each part of an atlas shows."""
    numbers = triangles.astype(np.intp)
    numbers = numbers[(weights[numbers] > 0).any(axis=1)]
    corners = places[numbers] * np.float32(nodes)
    bridge = (np.ptp(corners, axis=1) > BRIDGE * nodes).any(axis=1)
    values = np.concatenate([spots, weights[:, None]], axis=1)
    out = np.zeros((nodes * nodes, 3), np.float32)
    # The first of the bridges, under the last of the others.
    for some in (np.flatnonzero(bridge)[::-1], np.flatnonzero(~bridge)):
        which, cell, share = _cells(corners[some], nodes)
        shown = (share[:, :, None] * values[numbers[some][which]]).sum(axis=1)
        out[cell] = np.maximum(shown, (-np.inf, -np.inf, LEAST))
    return bytearray(_extended(out.reshape(nodes, nodes, 3)).tobytes())


def _cells(corners: F32, side: int) -> tuple[np.ndarray, np.ndarray, F32]:
    """Return the cells whose centres lie in triangles, triangle by triangle.

    Args:
        corners: (m, 3, 2), in cells.
        side: of the grid.

    Returns:
        Triangle, cell and the weights of the corners, (k,), (k,) and (k, 3).
    """
    low, high = (
        np.clip(np.ceil(bound - 0.5), 0, side).astype(np.int64)
        for bound in (corners.min(axis=1) - SLACK, corners.max(axis=1) + SLACK)
    )
    size = np.maximum(high - low, 0)
    count = size.prod(axis=1)
    which = np.repeat(np.arange(len(corners)), count)
    local = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[which, 0] + local % size[which, 0], low[which, 1] + local // size[which, 0]
    a, b, c = (corners[:, k].astype(np.float64) for k in range(3))
    u, v = b - a, c - a
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / (u[:, 0] * v[:, 1] - v[:, 0] * u[:, 1])
        dx, dy = x + 0.5 - a[which, 0], y + 0.5 - a[which, 1]
        second = (dx * v[which, 1] - dy * v[which, 0]) * inverse[which]
        third = (dy * u[which, 0] - dx * u[which, 1]) * inverse[which]
        inside = (second >= INSIDE) & (third >= INSIDE) & (second + third <= 1 - INSIDE)
    second, third = second[inside], third[inside]
    shares = np.stack([1 - second - third, second, third], axis=1)
    return which[inside], (y * side + x)[inside], shares.astype(np.float32)


def _extended(drawn: F32) -> F32:
    """Give nodes beside drawn ones the points that follow from the two next to them."""
    nodes = len(drawn)
    inner = slice(2, nodes - 2)
    total = np.zeros((nodes - 4, nodes - 4, 3), np.float32)

    def moved(y: int, x: int) -> F32:
        return drawn[2 + y : nodes - 2 + y, 2 + x : nodes - 2 + x]

    for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        near, further = moved(y, x), moved(2 * y, 2 * x)
        there = near[:, :, 2:] > 0
        step = (near[:, :, :2] - further[:, :, :2]) * (further[:, :, 2:] > 0)
        total[:, :, :2] += np.where(there, near[:, :, :2] + step, 0)
        total[:, :, 2:] += there
    empty = (drawn[inner, inner, 2] <= 0) & (total[:, :, 2] > 0)
    out = drawn.copy()
    out[inner, inner, :2][empty] = total[empty][:, :2] / total[empty][:, 2:]
    return out


def blend(trace: F32, plan: F32, photo: U8, side: int, /) -> bytearray:
    """Draw an atlas."""
    base, own, mean, mirrored = np.split(_large(plan, side), (3, 4, 7), axis=2)
    fine = _large(trace, side)
    spots = fine[:, :, :2] * np.array([photo.shape[1], photo.shape[0]], np.float32)
    spots -= np.float32(0.5)
    x, y = (np.ascontiguousarray(spots[:, :, k], np.float32) for k in (0, 1))
    colours = cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # Half of a weight counts in full.
    detail = np.minimum(2 * fine[:, :, 2:], 1) * (colours - mean)
    out = base + own * detail + mirrored * detail[:, ::-1]
    return bytearray(np.clip(np.round(out), 0, 255).astype(np.uint8).tobytes())


def _large(values: F32, side: int) -> F32:
    channels = [
        cv2.resize(np.ascontiguousarray(values[:, :, k]), (side, side))
        for k in range(values.shape[2])
    ]
    return np.stack(channels, axis=2)
