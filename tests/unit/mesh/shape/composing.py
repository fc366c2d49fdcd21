"""What the tests of the kernel and of its stand-in share: arguments of ``compose``."""

from __future__ import annotations

from typing import Any

import numpy as np

from protome.geometry import U8
from protome.mesh.shape.head import Head
from protome.mesh.shape.relax import faces_of

Arguments = dict[str, Any]
NAN, INF = float("nan"), float("inf")


def arguments(**changes: Any) -> tuple[Any, ...]:
    """Arguments without a head and without hair, but for the changes.

    ``triangles`` stand for the faces that they make.
    """
    triangles = changes.pop("triangles", np.zeros((0, 3), np.int32))
    parts: Arguments = {
        "vertices": np.zeros((0, 3), np.float32),
        "faces": changes["faces"] if "faces" in changes else faces_of(triangles),
        "hair": np.zeros((8, 9, 10), np.uint8),
        "step": 2,
        "rounds": 0,
    }
    parts |= changes
    guard = parts.get("guard", np.zeros(len(parts["vertices"]), np.float32))
    names = ("hair", "step", "rounds")
    return parts["vertices"], parts["faces"], guard, *(parts[name] for name in names)


def of_head(head: Head, vertices: np.ndarray, **changes: Any) -> tuple[Any, ...]:
    """Arguments with a head."""
    return arguments(vertices=vertices, triangles=head.triangles, **changes)


def corners(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def lump(shape: tuple[int, int, int], radius: float = 0.35) -> U8:
    """Hair: a ball in the middle of the grid; ``radius`` in shares of its shortest side."""
    grid = np.indices(shape) + 0.5
    middle = np.array(shape).reshape(3, 1, 1, 1) / 2
    away = radius * min(shape) - np.sqrt(((grid - middle) ** 2).sum(axis=0))
    return np.asarray(np.clip(np.round(127.5 + 100 * away), 0, 255), np.uint8)


FAR = corners((0, 0, 0), (481, 0, 0), (0, 10, 0))
MALFORMED: list[tuple[Arguments, type[Exception]]] = [
    ({"vertices": np.zeros((3, 3))}, TypeError),
    ({"faces": np.zeros((3, 6), np.int64)}, TypeError),
    ({"faces": np.zeros((3, 6), np.uint32)}, TypeError),
    ({"guard": np.zeros(0)}, TypeError),
    ({"hair": np.zeros((8, 8, 8), np.int8)}, TypeError),
    ({"hair": np.zeros((8, 8, 8), np.float32)}, TypeError),
    ({"vertices": np.zeros((3, 2), np.float32)}, ValueError),
    ({"vertices": np.zeros(3, np.float32), "guard": np.zeros(3, np.float32)}, ValueError),
    ({"faces": np.zeros((3, 4), np.int32)}, ValueError),
    ({"guard": np.zeros(1, np.float32)}, ValueError),
    ({"guard": np.zeros((0, 1), np.float32)}, ValueError),
    ({"hair": np.zeros((8, 8), np.uint8)}, ValueError),
    ({"hair": np.zeros((8, 3, 8), np.uint8)}, ValueError),
    ({"hair": np.zeros((8, 8, 63), np.uint8)}, ValueError),
    ({"step": 3}, ValueError),
    ({"step": 0}, ValueError),
    ({"step": -1}, ValueError),
    ({"rounds": -1}, ValueError),
    ({"rounds": 9}, ValueError),
    ({"faces": np.array([[0, 1, 0, -1, -1, -1]], np.int32)}, ValueError),
    ({"vertices": FAR, "faces": np.array([[0, 1, -1, -1, -1, -1]], np.int32)}, ValueError),
    ({"vertices": FAR, "faces": np.array([[0, 1, 3, -1, -1, -1]], np.int32)}, ValueError),
    ({"vertices": FAR, "faces": np.array([[0, 1, 2, -1, -1, -2]], np.int32)}, ValueError),
    ({"vertices": FAR, "faces": np.array([[0, 1, 2, 1, -1, -1]], np.int32)}, ValueError),
    ({"vertices": FAR}, OverflowError),
    ({"vertices": corners((NAN, 0, 0))}, OverflowError),
    ({"vertices": corners((0, INF, 0))}, OverflowError),
    ({"vertices": corners((0, 0, -3e38))}, OverflowError),
    # Far from the hair.
    ({"vertices": corners((600, 0, 0)), "hair": lump((8, 9, 10))}, OverflowError),
]
"""Changes to arguments, and what they raise."""
