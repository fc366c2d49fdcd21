"""Do with NumPy what the kernel does for the atlas where there is a compiler, more slowly.

The functions take and return the same; the docstrings of the compiled ones say what.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from protome.geometry import F32, I32, U8, U32

from .fill import plan as plan
from .paint import blend as blend
from .paint import gather as gather
from .paint import halve as halve
from .paint import large
from .paint import pixels as pixels

# As in walk.h, trace.c and visibility.c.
BRIDGE: Final = 1 / 32
BORDER: Final = 1e-4
INSIDE: Final = -1e-5
LEAST: Final = 1e-6
JUMP: Final = 0.05
# Cosine of the angle between normal and camera direction: below OBLIQUE the photo is not used,
# above FACING it is used alone; skin and hair.
OBLIQUE: Final = (0.08, 0.05)
FACING: Final = (0.3, 0.2)
# Depth tolerance of the visibility test, cells; what lies so much nearer within EDGE cells hides a
# point as well. Depth of hair, cells, under which skin shows the hair of the photo. Width of the
# strip along the outline that is not used, of skin and of hair, and of the rise after it.
SLACK: Final = 3.0
EDGE: Final = 2
UNDER: Final = 20.0
OUTLINE: Final = (2.0, 0.8)
RISE: Final = 1.0
# Width of the strip along the photo's border that is not used, and of the next one, cells.
RIM: Final = 2.0
# As in fade.c: nodes over which the photo fades, and over which it does in the mouth, and how much
# of the teeth's weight is taken.
FADES: Final = (3, 7)
TEETH: Final = 2.5


def lay_out(
    corners: F32, source: I32, weights: F32, triangles: U32, strip: float, share: float, /
) -> tuple[bytearray, bytearray, bytearray, int, bool]:
    """Lay a surface out in the head's atlas."""
    n = len(source)
    numbers = triangles.astype(np.intp)
    at = corners[np.maximum(source, 0)]
    uv = at[:, 0] + weights[:, :1] * at[:, 1] + weights[:, 1:] * at[:, 2]
    # Each vertex has up to three places: on the head, beyond the seam, in the hair.
    across = _across(uv, numbers)
    number = numbers.copy()
    number[across] += n * (uv[numbers[across], 0] >= 0.5)
    hair = (source < 0)[numbers].any(axis=1)
    number[hair] = numbers[hair] + 2 * n
    kept, inverse = np.unique(number, return_inverse=True)
    beyond, in_hair = np.searchsorted(kept, (n, 2 * n))
    places = uv[kept % max(n, 1)]
    places[beyond:in_hair] = _beyond_seam(places[beyond:in_hair])
    height = share if (source < 0).any() else 1.0
    scale = np.array([1 - 2 * strip, height - 2 * strip], np.float32)
    places = np.clip(places * scale + np.float32(strip), 0, np.array([1, height], np.float32))
    return (
        bytearray(places.astype(np.float32).tobytes()),
        bytearray((kept % max(n, 1)).astype(np.uint32).tobytes()),
        bytearray(inverse.astype(np.uint32).tobytes()),
        int(in_hair),
        bool((source < 0).any()),
    )


def _across(uv: F32, triangles: np.ndarray) -> np.ndarray:
    """Return whether each triangle is across the seam.

    It is if it has corners in both halves, and the way over the square's left and right sides, or
    over its upper or lower one, is shorter than the way within.
    """
    u, v = uv[triangles, 0], uv[triangles, 1]
    count = (u < 0.5).sum(axis=1)
    within = np.ptp(u, axis=1)
    over = 1 - 2 * np.abs(v - 0.5).min(axis=1)
    return np.asarray((count % 3 > 0) & ((within > 1 - within) | (within > over)))


def _beyond_seam(uv: F32) -> F32:
    """Continue the layout's left half across the seam: places of the right half, seen from it."""
    u, v = 1 - uv[:, 0], uv[:, 1]
    aside = u < np.minimum(v, 1 - v)
    above = np.where(v < 0.5, -v, 2 - v)
    return np.stack([np.where(aside, -u, u), np.where(aside, v, above)], axis=1)


def disk(
    vertices: F32,
    which: U32,
    frame: F32,
    reach: float,
    growth: float,
    across: float,
    down: float,
    centre: float,
    /,
) -> bytearray:
    """Find places in the hair's disk."""
    x, y, z = ((vertices[which] - frame[0]) @ frame[1:].T).T
    aside = np.sqrt(x * x + z * z)
    angle = np.minimum(np.arctan2(aside, y) / reach, 1)
    radius = (1 + growth) * angle / ((1 + growth * angle) * np.maximum(aside, 1e-6))
    places = np.stack([0.5 + across * radius * x, centre - down * radius * z], axis=1)
    return bytearray(places.astype(np.float32).tobytes())


def move(rows: F32, which: U32, matrix: F32, /) -> bytearray:
    """Take rows and transform them."""
    moved = rows[which] @ matrix[:, :3].T + matrix[:, 3]
    return bytearray(moved.astype(np.float32).tobytes())


def facing(vertices: F32, corners: I32, /) -> bytearray:
    """Find the directions that triangles face, for the halves of their cells."""
    first, second, third = (vertices[corners[:, :, k]] for k in range(3))
    cross = np.cross(second - first, third - first)
    cross /= np.maximum(np.sqrt((cross * cross).sum(axis=2, keepdims=True)), 1e-9)
    return bytearray(large(cross, 2 * len(cross)).astype(np.float32).tobytes())


def seen(
    vertices: F32,
    normals: F32,
    which: U32,
    maps: F32,
    around: F32,
    inside: F32,
    sides: F32,
    bare: bool,
    /,
) -> bytearray:
    """Determine what vertices show of the photo."""
    vertices, normals = vertices[which], normals[which]
    side, kind = len(inside), 0 if bare else 1
    oblique = OBLIQUE[kind]
    x, y = np.clip(vertices[:, :2].T, 0, side - 1).astype(np.intp)
    z, cosine = vertices[:, 2], np.clip(-normals[:, 2], oblique, 1)
    # A steep surface spans this much depth within a cell.
    slope = np.sqrt(1 - cosine**2) / cosine
    head, hair = maps[:, y, x]
    head_around, hair_around = around[:, y, x]
    shown = (-normals[:, 2] > oblique) & (z - head_around <= 3 * SLACK + (EDGE + 2) * slope)
    if bare:
        shown &= np.where(hair < head, z - hair <= UNDER, z - head <= SLACK + 1.5 * slope)
    else:
        shown &= z - hair_around <= 3 * SLACK + (EDGE + 2) * slope
        shown &= z - np.minimum(head, hair) <= SLACK + 1.5 * slope
    weight = np.minimum((cosine - oblique) / (FACING[kind] - oblique), 1)
    weight *= np.clip((inside[y, x] - OUTLINE[kind]) / RISE, 0, 1)
    border = (vertices[:, :2] @ sides[:, :2].T + sides[:, 2]).min(axis=1)
    weight *= np.clip(border / RIM - 1, 0, 1)
    spots = np.clip(vertices[:, :2] * np.float32(1 / side), -1, 2)
    out = np.concatenate([spots, (shown * weight)[:, None]], axis=1)
    return bytearray(out.astype(np.float32).tobytes())


def depth(vertices: F32, source: I32, triangles: U32, side: int, /) -> bytearray:
    """Draw the depth maps of a mesh."""
    numbers = triangles.astype(np.intp)
    corners = vertices[numbers]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    towards = first[:, 0] * second[:, 1] <= second[:, 0] * first[:, 1]
    which, cell, weights = cells_of(corners[towards, :, :2], side)
    hair = np.asarray((source[numbers[towards]] < 0).any(axis=1))
    out = np.full(2 * side * side, np.inf, np.float32)
    values = (weights * corners[towards][which, :, 2]).sum(axis=1)
    np.minimum.at(out, cell + side * side * hair[which], values.astype(np.float32))
    return bytearray(out.tobytes())


def outline(maps: F32, /) -> tuple[bytearray, bytearray]:
    """Find how near cells of depth maps are to the outline."""
    square = np.ones((2 * EDGE + 1,) * 2, np.uint8)
    around = np.stack([cv2.erode(one, square) for one in maps])
    within = np.isfinite(np.minimum(*maps)).astype(np.uint8)
    inside = cv2.distanceTransform(within, cv2.DIST_L2, 3)
    return bytearray(np.asarray(around, np.float32)), bytearray(np.asarray(inside, np.float32))


def normals(vertices: F32, triangles: I32, /) -> bytearray:
    """Return the normals of the vertices of a mesh."""
    first, second, third = (vertices[triangles[:, k]] for k in range(3))
    out = np.zeros_like(vertices)
    np.add.at(out, triangles, np.cross(second - first, third - first)[:, None])
    length = np.sqrt((out * out).sum(axis=1, keepdims=True))
    return bytearray(np.divide(out, length, out=np.zeros_like(out), where=length > 0).tobytes())


def trace(places: F32, triangles: U32, seen: F32, first: int, nodes: int, /) -> bytearray:
    """Find which point of a photo each part of an atlas shows."""
    triangles = triangles[(triangles >= first).all(axis=1)]
    triangles = triangles[(seen[triangles - first, 2] > 0).any(axis=1)]
    at, shows = places[triangles] * np.float32(nodes), seen[triangles - first]
    bridge = (np.ptp(at, axis=1) > BRIDGE * nodes).any(axis=1)
    (x, y), (u, v) = ((at[:, k] - at[:, 0]).T for k in (1, 2))
    below = bridge | (x * v > y * u)
    out = np.zeros((nodes * nodes, 3), np.float32)
    # The first of these, under the last of the others.
    for some in (np.flatnonzero(below)[::-1], np.flatnonzero(~below)):
        which, cell, share = cells_of(at[some], nodes)
        shown = (share[:, :, None] * shows[some[which]]).sum(axis=1)
        out[cell] = np.maximum(shown, (-np.inf, -np.inf, LEAST))
    traced = out.reshape(nodes, nodes, 3)
    traced[_at_jumps(traced), 2] = 0
    return bytearray(_extended(traced).tobytes())


def trace_head(corners: I32, shares: F32, seen: F32, trace: F32, /) -> None:
    """Find which point of a photo the nodes of the head's island show."""
    share = np.concatenate([1 - shares.sum(axis=1, keepdims=True), shares], axis=1)
    trace[:] = (share[:, :, None] * seen[corners]).sum(axis=1)
    np.maximum(trace[:, 2], 0, out=trace[:, 2])


def fade(mouth: U8, trace: F32, /) -> None:
    """Fade the photo towards what is not seen."""
    larger = len(trace) // len(mouth)
    in_mouth = mouth.repeat(larger, 0).repeat(larger, 1) > 0
    square = np.ones((3, 3), np.uint8)
    weight = cv2.erode(cv2.dilate(np.ascontiguousarray(trace[:, :, 2]), square), square)
    smooth, wide = (cv2.blur(weight, (fade, fade)) for fade in FADES)
    teeth = np.minimum(TEETH * wide, 1)
    trace[:, :, 2] = np.where(in_mouth, teeth, np.minimum(smooth, weight))


def cells_of(corners: F32, side: int) -> tuple[np.ndarray, np.ndarray, F32]:
    """Return the cells whose centres lie in triangles, triangle by triangle.

    Args:
        corners: (m, 3, 2), in cells.
        side: of the grid.

    Returns:
        Triangle, cell and the weights of the corners, (k,), (k,) and (k, 3).
    """
    low, high = (
        np.clip(np.ceil(bound - 0.5), 0, side).astype(np.int64)
        for bound in (corners.min(axis=1) - BORDER, corners.max(axis=1) + BORDER)
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


def _at_jumps(trace: F32) -> npt.NDArray[np.bool_]:
    """Return the nodes at the border of two layers, whose points are far apart."""
    out = np.zeros(trace.shape[:2], np.bool_)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        apart = np.abs(trace[here] - trace[there])[:, :, :2].max(axis=2) > JUMP
        far = apart & (trace[here][:, :, 2] > 0) & (trace[there][:, :, 2] > 0)
        out[here] |= far
        out[there] |= far
    return out


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
