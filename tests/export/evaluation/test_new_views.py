"""Coloured meshes from new views, compared with the truth."""

from __future__ import annotations

import numpy as np
import pytest

from protome.demo.render import Model3D
from protome_export.evaluation.new_views import (
    TURNS,
    Made,
    Views,
    compare,
    errors,
    render_views,
    table,
)
from protome_export.heads.pose import CROP
from protome_export.render.sample import Synthesizer


@pytest.fixture(scope="module")
def views(synthesizer: Synthesizer) -> Views:
    return next(iter(render_views(synthesizer, [3])))


def true_mesh(synthesizer: Synthesizer, views: Views, colour: float) -> Made:
    """The head's own vertices, in one colour."""
    head, camera = synthesizer.head, views.cameras[0]
    points = camera.turn(head.neutral) * camera.scale
    flat = points * [1, -1, 1] + [*camera.origin, 0]
    model = Model3D(
        flat.astype(np.float32),
        np.zeros_like(flat, np.float32),
        head.triangles.astype(np.uint32),
        np.full((len(flat), 2), 0.5, np.float32),
        np.full((4, 4, 3), colour, np.uint8),
        None,
    )
    marks = camera.turn(views.landmarks) * camera.scale
    return Made(model, np.eye(4), marks.astype(np.float32))


def test_the_light_stays_with_the_head(views: Views) -> None:
    assert views.pictures.shape == (len(TURNS), CROP, CROP, 3)
    assert views.photo.shape == (CROP, CROP, 3)
    share = views.masks.mean((1, 2))
    assert (share > 0.05).all()
    inside = np.abs(views.pictures[0] - views.photo)[views.masks[0]]
    assert inside.mean() < 2, "the photo shows the first view"
    assert np.abs(views.pictures[3] - views.pictures[0])[views.masks[0]].mean() > 3


def test_errors_are_those_of_the_colour(synthesizer: Synthesizer, views: Views) -> None:
    mean = float(views.pictures[0][views.masks[0]].mean())
    near = errors(true_mesh(synthesizer, views, mean), views)
    far = errors(true_mesh(synthesizer, views, 255.0 if mean < 128 else 0.0), views)
    assert (near < far).all()
    assert np.isnan(errors(None, views)).all()


def test_both_columns_are_of_the_same_heads(synthesizer: Synthesizer, views: Views) -> None:
    made = true_mesh(synthesizer, views, 100.0)
    calls = iter([made, None])
    results = compare(
        synthesizer, [3, 4], {"this release": lambda _: made, "other": lambda _: next(calls)}
    )
    assert results["this release"]["heads"] == results["other"]["heads"] == 1
    assert results["this release"]["turned"] == results["other"]["turned"] > 0
    assert table(results).splitlines()[0] == "| view | this release | other |"
