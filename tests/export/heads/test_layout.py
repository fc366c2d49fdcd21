"""The flat layout: one chart without overlaps, cut open at the back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import MatrixRankWarning

from protome_export.heads.layout import Layout, lay_out
from protome_export.heads.model import HeadModel
from protome_export.heads.regions import guard, importance, regions
from protome_export.heads.solid import SolidHead, build_solid, mirror_vertices

Laid = tuple[SolidHead, np.ndarray, Layout]


@pytest.fixture(scope="module")
def laid(head: HeadModel) -> Laid:
    solid = build_solid(head)
    v = solid.vertices(head.neutral)
    wanted = importance(solid, regions(head, solid), guard(head, solid))
    return solid, v, lay_out(v, solid.triangles, wanted, mirror_vertices(v))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _areas(layout: Layout) -> np.ndarray:
    a, b, c = layout.uv[layout.triangles].astype(float).transpose(1, 0, 2)
    return _cross(b - a, c - a) / 2


def test_no_triangle_is_turned_over_or_overlaps(laid: Laid) -> None:
    _, _, layout = laid
    areas = _areas(layout)
    assert (areas < 0).all()  # v points down
    assert layout.uv.min() > 0
    assert layout.uv.max() < 1
    # All of one sign and filling exactly the square between the margins: none overlap.
    assert -areas.sum() == pytest.approx((1 - 2 / 256) ** 2, rel=1e-5)
    points = np.random.default_rng(0).uniform(2 / 256, 1 - 2 / 256, (500, 1, 2))
    corners = layout.uv[layout.triangles].astype(float)
    sides = [_cross(corners[:, (k + 1) % 3] - corners[:, k], points - corners[:, k])
             for k in range(3)]  # fmt: skip
    assert ((np.array(sides) < 0).all(0).sum(1) == 1).all()  # each lies in one triangle


def test_corners_are_those_of_the_head_and_the_seam_is_at_the_back(laid: Laid) -> None:
    solid, v, layout = laid
    count = len(v)
    assert layout.triangles.shape == solid.triangles.shape
    moved = layout.triangles != solid.triangles
    assert layout.triangles[~moved].max() < count
    twins: dict[int, int] = {}
    for new, old in zip(layout.triangles[moved], solid.triangles[moved], strict=True):
        assert twins.setdefault(int(new), int(old)) == old
    assert sorted(twins) == list(range(count, len(layout.uv)))
    seam = v[list(twins.values())]
    assert np.abs(seam[:, 0]).max() < 1.5
    assert seam[:, 2].max() < v[:, 2].max() / 2
    away = np.minimum(layout.uv, 1 - layout.uv).min(1)
    assert away[count:].max() < 1 / 256 + 1e-4


def test_the_face_looks_out_and_is_enlarged(laid: Laid) -> None:
    solid, _, layout = laid
    marks = layout.uv[solid.landmarks]
    assert marks[36, 0] < marks[45, 0]  # the right eye is on the left, as seen from outside
    assert marks[27, 1] < marks[8, 1]  # v points down
    assert abs(marks[30, 0] - 0.5) < 0.1


def test_what_is_important_gets_more_area(laid: Laid) -> None:
    solid, v, _ = laid
    front = v[:, 2] > v[solid.landmarks[36], 2] - 3
    plain, enlarged = (
        lay_out(
            v,
            solid.triangles,
            np.where(front, factor, 1).astype(np.float32),
            mirror_vertices(v),
        )
        for factor in (1.0, 3.0)
    )
    inside = front[solid.triangles].all(1)
    before, after = (_areas(layout)[inside].sum() for layout in (plain, enlarged))
    assert after / before > 1.5


def test_refuses_what_cannot_be_laid_out(laid: Laid) -> None:
    solid, v, _ = laid
    with pytest.raises(ValueError, match="over"), pytest.warns(MatrixRankWarning):
        lay_out(v, solid.triangles, np.full(len(v), np.nan, np.float32), mirror_vertices(v))
