"""Encode with NumPy and the package meshopt as the compiled ``_kernel`` does, only more slowly.

Used where the kernel could not be built, and as its reference in tests.
"""

from __future__ import annotations

import meshopt
import numpy as np

from protome.geometry import F32, F64, U8, U32


def encode_rows(rows: U8, order: U32, /) -> bytes:
    """Encode the rows of these numbers; zeros fill them up to a multiple of four bytes.

    Args:
        rows: (n, width) uint8.
        order: (m,) uint32.
    """
    padded = np.zeros((len(order), -(-rows.shape[1] // 4) * 4), np.uint8)
    padded[:, : rows.shape[1]] = rows.take(order, axis=0)
    return bytes(meshopt.encode_gltf_buffer(padded, "ATTRIBUTES"))


def encode_triangles(triangles: U32, count: int, /) -> tuple[bytes, bytes]:
    """Encode triangles, whose vertices get numbers in the order of their first use.

    Args:
        triangles: (m, 3) uint32.
        count: number of vertices.

    Returns:
        The codes, and (n,) uint32: the vertices that are used, in their new order.
    """
    # The package numbers no further than to the last vertex that is used.
    indices, remap, used = meshopt.reorder_mesh(triangles, triangles=False, optsize=False)
    kept = np.flatnonzero(remap[:count] < used)
    order = np.empty(used, np.uint32)
    order[remap[kept]] = kept
    return bytes(meshopt.encode_gltf_buffer(indices, "TRIANGLES")), order.tobytes()


def octahedral(normals: F32, /) -> bytes:
    """Encode unit vectors, (n, 3), in the octahedral form with 8 bits a part, (n, 4) int8."""
    padded = np.zeros((len(normals), 4), np.float32)
    padded[:, :3] = normals
    return bytes(meshopt.encode_filter_oct(padded, stride=4, bits=8).tobytes())


def snap(positions: F32, low: F64, step: float, /) -> tuple[bytes, int]:
    """Round positions to the points of a grid.

    Args:
        positions: (n, 3) float32.
        low: (3,) position of the grid's origin.
        step: distance of its points.

    Returns:
        (n, 3) uint16, in steps, and the number of different points.
    """
    points = np.clip(np.rint((positions - low) / step), 0, 65535).astype(np.uint16)
    return points.tobytes(), len(np.unique(points, axis=0))
