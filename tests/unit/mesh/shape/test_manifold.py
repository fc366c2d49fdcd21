"""Sheets that came to share edges: apart again, and what was flat is gone."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from protome.geometry import F32, U32
from protome.mesh.shape.manifold import APART, is_closed, separate

BLOCKS = {
    "a block": [(0, 0, 0)],
    "two that share an edge": [(0, 0, 0), (1, 1, 0), (2, 1, 0)],
    "a ring that closes at an edge": [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        (2, 1, 0),
        (1, 2, 0),
        (2, 2, 0),
        (0, 1, 0),
    ],
    "two that share a corner": [(0, 0, 0), (1, 1, 1), (2, 1, 1)],
}


def skin_of(cells: list[tuple[int, int, int]]) -> tuple[F32, U32]:
    """The outside of unit cubes, with the vertices at one place joined."""
    filled = np.zeros((5, 5, 5), np.bool_)
    for cell in cells:
        filled[tuple(np.add(cell, 1))] = True
    faces: list[list[int]] = []
    points: list[np.ndarray] = []
    for block in np.argwhere(filled):
        for axis in range(3):
            for way in (-1, 1):
                beside = block.copy()
                beside[axis] += way
                if filled[tuple(beside)]:
                    continue
                u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
                corner = block + np.eye(3, dtype=int)[axis] * (way > 0)
                square = [corner, corner + u, corner + u + v, corner + v][::way]
                faces += [[len(points) + i for i in t] for t in ((0, 1, 2), (0, 2, 3))]
                points += square
    places, number = np.unique(np.array(points), axis=0, return_inverse=True)
    return places.astype(np.float32), number.ravel()[np.array(faces)].astype(np.uint32)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_touch_are_parted(name: str) -> None:
    vertices, triangles = skin_of(BLOCKS[name])
    assert is_closed(triangles) == (name in {"a block", "two that share a corner"})
    points, found = separate(vertices, triangles)
    assert is_closed(found)
    mesh = trimesh.Trimesh(points, found, process=False)
    assert mesh.is_watertight
    assert mesh.body_count == 1
    # The largest piece, as large as it was but for the gap.
    largest = {"two that share an edge": 2, "two that share a corner": 2}
    expected = largest.get(name, len(BLOCKS[name]))
    assert mesh.volume == pytest.approx(expected, abs=0.1)
    assert np.abs(points[:, None] - vertices[None]).max(axis=2).min(axis=1).max() <= APART
    mesh.merge_vertices()
    assert mesh.is_watertight


def test_triangles_back_to_back_are_removed() -> None:
    vertices, triangles = skin_of(BLOCKS["a block"])
    edge = triangles[0, :2]
    fin = np.array([[*edge, len(vertices)], [*edge[::-1], len(vertices)]], np.uint32)
    more = np.concatenate([vertices, np.full((1, 3), 9, np.float32)])
    assert not is_closed(np.concatenate([triangles, fin]))
    points, found = separate(more, np.concatenate([triangles, fin]))
    assert is_closed(found)
    assert len(points) == len(vertices)
    assert len(found) == len(triangles)


def test_a_closed_mesh_stays_as_it_is() -> None:
    ball = trimesh.creation.icosphere(2)
    points, found = separate(ball.vertices.astype(np.float32), ball.faces.astype(np.uint32))
    again = trimesh.Trimesh(points, found, process=False)
    assert again.volume == pytest.approx(ball.volume, rel=1e-6)
    assert len(points) == len(ball.vertices)


def test_a_border_is_refused() -> None:
    vertices, triangles = skin_of(BLOCKS["a block"])
    with pytest.raises(ValueError, match="border"):
        separate(vertices, triangles[1:])
