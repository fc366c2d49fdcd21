from dataclasses import replace

import numpy as np

from protome_export.heads.model import EYE, HEAD, OTHER, HeadModel
from protome_export.heads.solid import build_solid, mirror_vertices


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


def _opened(head: HeadModel, holes: np.ndarray) -> HeadModel:
    """Take triangles out and put a vertex in each eye, which plays the eyeball."""
    eye = head.neutral[head.landmarks[36:42]].mean(0)
    balls = np.stack([eye, eye * [-1, 1, 1]])
    lost = ~np.isin(head.landmarks, head.triangles[~holes])
    return replace(
        head,
        neutral=np.concatenate([head.neutral, balls]).astype(np.float32),
        identity=np.pad(head.identity, ((0, 0), (0, 2), (0, 0))),
        expression=np.pad(head.expression, ((0, 0), (0, 2), (0, 0))),
        part=np.concatenate([head.part, [EYE, EYE]]).astype(np.uint8),
        triangles=head.triangles[~holes],
        triangles_uv=head.triangles_uv[~holes],
        triangle_material=head.triangle_material[~holes],
        landmarks=np.where(lost, head.landmarks[8], head.landmarks).astype(np.int32),
    )


def test_holes_are_closed(head: HeadModel) -> None:
    """A mouth hole is closed by a cavity, an eye's over the eyeball, as on the ICT head."""
    centres = head.neutral[head.triangles].mean(1)
    mouth = head.neutral[head.landmarks[60:68]].mean(0)
    eye = head.neutral[head.landmarks[36:42]].mean(0)
    open_mouth = np.linalg.norm(centres - mouth, axis=1) < 1.6
    open_eye = np.linalg.norm(centres - eye, axis=1) < 1.2
    assert open_mouth.sum() >= 2
    assert open_eye.sum() >= 2
    holed = _opened(head, open_mouth | open_eye)
    solid, whole = build_solid(holed), build_solid(head)
    v = solid.vertices(holed.neutral)
    assert set(_edge_counts(solid.triangles).tolist()) == {2}
    lost = _volume(whole.vertices(head.neutral), whole.triangles) - _volume(v, solid.triangles)
    assert 0 < lost < 40  # cm3: a cavity, not a hollow head
    assert np.linalg.norm(v - eye, axis=1).min() < 1e-4


def test_an_eye_is_closed_from_the_landmarks_on(head: HeadModel) -> None:
    """What lies behind the eyelids, between the hole and the landmarks, is left out."""
    eye = head.neutral[head.landmarks[36:42]].mean(0)
    hole = (head.triangles == np.linalg.norm(head.neutral - eye, axis=1).argmin()).any(1)
    behind = np.unique(head.triangles[hole])
    rings = [behind]
    for _ in range(2):
        touched = np.isin(head.triangles, np.concatenate(rings)).any(1)
        rings.append(np.setdiff1d(head.triangles[touched], np.concatenate(rings)))
    inner = np.concatenate(rings[:2])
    marks = np.where(np.isin(head.landmarks, inner), rings[2][0], head.landmarks)
    opened = _opened(replace(head, landmarks=marks.astype(np.int32)), hole)
    solid = build_solid(opened)
    v = solid.vertices(opened.neutral)
    assert set(_edge_counts(solid.triangles).tolist()) == {2}
    away = np.linalg.norm(v[:, None] - head.neutral[inner], axis=2).min(0)
    assert away.min() > 0.01
    assert np.linalg.norm(v[:, None] - head.neutral[rings[2]], axis=2).min(0).max() < 1e-4


def test_the_neck_is_cut_and_closed_by_a_dome(head: HeadModel) -> None:
    """The tiny head, which has no neck, gets a tube that is open below."""
    rows, columns = 36, 48
    ring = np.arange((rows - 1) * columns, rows * columns)
    base = len(head.neutral) - 1
    steps = np.arange(1, 9)[:, None, None] * np.array([0, -1.2, 0], np.float32)
    wide = head.neutral[ring] * [3.5, 1, 1.5]
    tube = (wide[None] + steps).reshape(-1, 3).astype(np.float32)
    i = np.concatenate([ring, len(head.neutral) + np.arange(len(tube))]).reshape(9, columns)
    right = np.roll(i, -1, 1)
    a, b, c, d = i[:-1].ravel(), i[1:].ravel(), right[1:].ravel(), right[:-1].ravel()
    walls = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    keep = ~(head.triangles == base).any(1)
    pad = ((0, 0), (0, len(tube)), (0, 0))
    necked = replace(
        head,
        neutral=np.concatenate([head.neutral, tube]),
        identity=np.pad(head.identity, pad),
        expression=np.pad(head.expression, pad),
        part=np.concatenate([head.part, np.full(len(tube), HEAD, np.uint8)]),
        triangles=np.concatenate([head.triangles[keep], walls]).astype(np.int32),
    )
    solid = build_solid(necked)
    v = solid.vertices(necked.neutral)
    counts = _edge_counts(solid.triangles)
    assert set(counts.tolist()) == {2}
    assert len(v) - len(counts) + len(solid.triangles) == 2
    chin = necked.landmarks_neutral[:17, 1].min()
    end = solid.part == OTHER
    assert end.sum() > columns
    assert -7.5 < v[:, 1].min() - chin < -4
    assert v[end, 1].max() > v[end, 1].min() + 1  # a dome, not a plane
    # No sharp rim: the end begins nearly along the wall.
    assert np.abs(np.diff(np.sort(v[end, 1]))).max() < 1


def test_mirror_images() -> None:
    points = np.array([[1, 0, 0], [-1, 0, 0.001], [0, 2, 0]], np.float32)
    assert mirror_vertices(points).tolist() == [1, 0, 2]
