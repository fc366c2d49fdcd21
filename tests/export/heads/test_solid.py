from dataclasses import replace

import numpy as np
import pytest

from protome_export.heads.model import EYE, HeadModel
from protome_export.heads.solid import build_solid
from protome_export.render.raster import solid_occupancy


def _edge_counts(triangles: np.ndarray) -> np.ndarray:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(edges, 1), axis=0, return_counts=True)[1]


def _volume(v: np.ndarray, t: np.ndarray) -> float:
    a, b, c = v[t[:, 0]], v[t[:, 1]], v[t[:, 2]]
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_solid_is_closed_manifold_and_outward(head: HeadModel) -> None:
    solid = build_solid(head)
    v = solid.vertices(head.neutral)
    counts = _edge_counts(solid.triangles)
    assert set(counts.tolist()) == {2}
    assert len(v) - len(counts) + len(solid.triangles) == 2
    assert _volume(v, solid.triangles) > 500  # cm3, positive: outward


def test_solid_moves_linearly_with_the_head(head: HeadModel) -> None:
    solid = build_solid(head)
    base = solid.vertices(head.neutral)
    mode = head.neutral + head.expression[0]
    both = solid.vertices(np.stack([head.neutral, mode]))
    assert np.allclose(both[0], base, atol=1e-4)
    assert np.allclose(solid.vertices(head.neutral + 3), base + 3, atol=1e-3)
    assert np.allclose(both[1][solid.landmarks], mode[head.landmarks], atol=1e-5)


def test_holes_are_closed(head: HeadModel) -> None:
    """A mouth hole is closed by a cavity, an eye's over the eyeball, as on the ICT head."""
    centres = head.neutral[head.triangles].mean(1)
    mouth = head.neutral[head.landmarks[60:68]].mean(0)
    eye = head.neutral[head.landmarks[36:42]].mean(0)
    open_mouth = np.linalg.norm(centres - mouth, axis=1) < 1.6
    open_eye = np.linalg.norm(centres - eye, axis=1) < 1.2
    assert open_mouth.sum() >= 2
    assert open_eye.sum() >= 2
    keep = ~(open_mouth | open_eye)
    balls = np.stack([eye, eye * [-1, 1, 1]])  # a vertex each plays the eyeball
    holed = replace(
        head,
        neutral=np.concatenate([head.neutral, balls]).astype(np.float32),
        identity=np.pad(head.identity, ((0, 0), (0, 2), (0, 0))),
        expression=np.pad(head.expression, ((0, 0), (0, 2), (0, 0))),
        part=np.concatenate([head.part, [EYE, EYE]]).astype(np.uint8),
        triangles=head.triangles[keep],
        triangles_uv=head.triangles_uv[keep],
        triangle_material=head.triangle_material[keep],
        landmarks=np.where(
            np.isin(head.landmarks, head.triangles[keep]), head.landmarks, head.landmarks[8]
        ).astype(np.int32),
    )
    solid, whole = build_solid(holed), build_solid(head)
    v = solid.vertices(holed.neutral)
    assert set(_edge_counts(solid.triangles).tolist()) == {2}
    lost = _volume(whole.vertices(head.neutral), whole.triangles) - _volume(v, solid.triangles)
    assert 0 < lost < 40  # cm3: a cavity, not a hollow head
    assert np.linalg.norm(v - eye, axis=1).min() < 1e-4


def _sphere(radius: float, centre: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    from skimage.measure import marching_cubes

    g = np.mgrid[-30:31, -30:31, -30:31] / 30 * 1.2
    v, t, _, _ = marching_cubes(np.sqrt((g**2).sum(0)), 1.0)  # type: ignore[no-untyped-call]
    v = (v / 30 - 1) * 1.2
    v = v / np.linalg.norm(v, axis=1, keepdims=True) * radius + centre
    return v, t.astype(np.int32)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.7, -0.4, 0.37)])
def test_occupancy_of_a_sphere_is_exact_and_sub_voxel(shift: tuple[float, float, float]) -> None:
    centre = np.array([96, 96, 50]) + shift
    v, t = _sphere(30.0, (centre[0], centre[1], centre[2]))
    if _volume(v, t) < 0:
        t = t[:, ::-1].copy()
    o = solid_occupancy(v, t)
    assert o.shape == (100, 96, 96)
    assert abs(o.sum() * 4 / (4 / 3 * np.pi * 30**3) - 1) < 0.003
    ix, iy = int(centre[0] // 2), int(centre[1] // 2)
    column = o[:, iy, ix]
    k = int((column >= 0.5).argmax())
    front = k - 1 + (0.5 - column[k - 1]) / (column[k] - column[k - 1])
    x, y = 2 * ix + 1 - centre[0], 2 * iy + 1 - centre[1]
    # Slice k is centred at k + 0.5.
    assert abs(front + 0.5 - (centre[2] - np.sqrt(900 - x * x - y * y))) < 0.06
