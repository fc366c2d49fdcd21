"""Trace the atlas to the photo: which point of the photo each of its nodes shows, and how well.

On the head's island a node always shows the same point of the head's triangles, so the posed
vertices alone tell where it lies. What hair shows follows from the surface's triangles.
"""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from protome.geometry import F32, I32, Frame
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface

from .atlas import SHARE, STRIP, Unwrapped
from .cells import mouth_cells
from .painter import painter
from .raster import cells_of
from .visibility import sight

# Resolution at which texels are traced to the photo.
NODES: Final = 256


def trace(surface: Surface, layout: Unwrapped, frame: Frame) -> F32:
    """Trace the nodes of an atlas.

    Args:
        surface: in crop coordinates.
        layout: the surface in the atlas.
        frame: the part of the crop that the photo covers.

    Returns:
        (NODES, NODES, 3), the point of the photo, shares of its sides, and its weight, 0 to 1.
    """
    maps = sight(surface, frame)
    if layout.hairy:
        hair = layout.source[layout.in_hair :]
        seen = maps.of_surface(surface.vertices, surface.normals, hair, hair=True)
        drawn = painter.trace(layout.places, layout.triangles, seen, layout.in_hair, NODES)
    else:
        drawn = bytearray(12 * NODES * NODES)
    out = np.frombuffer(drawn, np.float32).reshape(NODES, NODES, 3)
    normals = np.frombuffer(painter.normals(surface.posed, surface.head.triangles), np.float32)
    seen = maps.of_skin(surface.posed, normals.reshape(-1, 3))
    corners, shares = _nodes(surface.head, layout.hairy)
    painter.trace_head(corners, shares, seen, out.reshape(-1, 3)[: len(corners)])
    painter.fade(mouth_cells(surface.head, layout.hairy), out)
    return out


@functools.lru_cache(maxsize=4)
def _nodes(head: Head, hairy: bool) -> tuple[I32, F32]:
    """Return what each node of the head's island shows, row by row.

    Returns:
        The vertices of a triangle of the head, (k, 3), and the weights of the last two, (k, 2).
    """
    strip, rows = int(NODES * STRIP), int(NODES * SHARE) if hairy else NODES
    size = NODES - 2 * strip, rows - 2 * strip
    side = max(size)
    places = head.uv * (np.array(size, np.float32))
    corners = places[head.uv_triangles]
    # Where triangles overlap, the smaller one counts.
    order = np.argsort(-np.ptp(corners, axis=1).max(axis=1), kind="stable")
    which, cell, weights = cells_of(corners[order], side)
    found = np.full((side, side), -1)
    found.ravel()[cell] = np.arange(len(cell))
    found = found[: size[1], : size[0]]
    # What no triangle covers shows what the nearest node does.
    _, labels = cv2.distanceTransformWithLabels(
        (found < 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, np.intp)
    nearest[labels[found >= 0]] = found[found >= 0]
    found = _across(nearest[labels], strip)
    vertices = head.triangles[order[which[found.ravel()]]]
    return np.ascontiguousarray(vertices, np.int32), weights[found.ravel(), 1:].copy()


def _across(inner: npt.NDArray[np.intp], strip: int) -> npt.NDArray[np.intp]:
    """Surround the head's island with strips of what lies across the seam."""
    wide = np.pad(inner, ((0, 0), (strip, strip)), mode="wrap")
    above, below = wide[:strip][::-1, ::-1], wide[len(wide) - strip :][::-1, ::-1]
    return np.concatenate([above, wide, below])
