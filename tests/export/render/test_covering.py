"""Covered faces: what is drawn over them, and what of it the labels say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from protome_export.heads.model import HeadModel
from protome_export.heads.pose import CROP, make_camera, sample_shape
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.view import View
from protome_export.render.inner_face import REGIONS
from protome_export.render.looks.occluders import draw_hands, draw_objects, draw_panels
from protome_export.render.renderer import Layer
from protome_export.render.sample import Sample, Synthesizer
from protome_export.training.shards import find_shards, read_covers, write_shard

CPU = torch.device("cpu")
EYES, NOSE, MOUTH = range(len(REGIONS))


@pytest.fixture(scope="module")
def covering(head: HeadModel) -> Synthesizer:
    return Synthesizer(head, None, covered=True)


@pytest.fixture(scope="module")
def frontal(covering: Synthesizer) -> tuple[Layer, np.ndarray]:
    """40 frontal heads with masks and glasses drawn by chance, and their landmarks, crop px."""
    shape = sample_shape(np.random.default_rng(4), covering.head)
    shape.angles, shape.distance, shape.shift = (0.0, 0.0, 0.0), 60.0, (0.0, 0.0)
    vertices = covering.head.neutral
    marks = vertices[covering.head.landmarks]
    camera = make_camera(shape, marks)
    with torch.inference_mode():
        layer = covering.renderer.heads(
            Dice(range(40), 0, CPU),
            torch.from_numpy(vertices.astype(np.float32)).expand(40, -1, -1),
            View.of([camera] * 40, CPU),
            covers=Dice(range(40), 3, CPU),
        )
    return layer, camera.project(marks)


def test_the_regions_lie_where_the_landmarks_are(frontal: tuple[Layer, np.ndarray]) -> None:
    layer, marks = frontal
    assert layer.inner is not None
    inner = layer.inner[0]
    assert inner.shape == (3, CROP, CROP)
    assert inner.sum(0).max() < 1.01
    middles = marks[[*range(36, 48)]], marks[27:36], marks[48:68]
    x, y = np.meshgrid(np.arange(CROP) + 0.5, np.arange(CROP) + 0.5)
    for region, points in zip(inner.numpy(), middles, strict=True):
        middle = np.array([(region * x).sum(), (region * y).sum()]) / region.sum()
        # The mouth's region has the chin in it.
        assert np.abs(middle - points[:, :2].mean(0)).max() < 14
        assert region.sum() > 100


def test_masks_hide_the_mouth_and_dark_glasses_the_eyes(
    frontal: tuple[Layer, np.ndarray],
) -> None:
    layer, _ = frontal
    assert layer.inner is not None
    area = layer.inner.sum((2, 3))
    shares = (layer.inner * layer.hidden[:, None]).sum((2, 3)) / area
    bare = (shares < 0.01).all(1)
    masked = shares[:, MOUTH] > 0.9
    dark = (shares[:, EYES] > 0.5) & ~masked
    assert 8 <= bare.sum() <= 32
    assert masked.any()
    assert dark.any()
    assert (shares[masked, NOSE] > 0.2).any()
    assert (shares[dark, MOUTH] < 0.05).all()
    assert (layer.hidden[bare] * layer.inner[bare].sum(1)).max() < 0.05


@pytest.mark.parametrize("draw", [draw_hands, draw_objects, draw_panels])
def test_what_is_drawn_is_what_is_said_to_be_hidden(draw: object) -> None:
    n, size = 40, 96
    canvas, skin = torch.full((n, 3, size, size), 2.0), torch.full((n, 3), 0.3)
    dice = Dice(range(n), 1, CPU)
    if draw is draw_hands:
        image, hidden = draw_hands(dice, canvas.clone(), skin, 0.5)
    elif draw is draw_objects:
        image, hidden = draw_objects(dice, canvas.clone(), 0.5)
    else:
        cloth, middle = torch.rand(n, 3, size, size), torch.full((n, 2), size / 2)
        image, hidden = draw_panels(dice, canvas.clone(), cloth, middle, 0.5)
    changed = (image - canvas).abs().amax(1)
    some = hidden.amax((1, 2)) > 0
    assert 10 <= some.sum() <= 32
    assert changed[hidden == 0].max() == 0
    assert (changed[hidden > 0.9] > 0.1).float().mean() > 0.95


def test_the_heads_are_those_of_the_same_seeds_uncovered(
    covering: Synthesizer, samples: Sequence[Sample]
) -> None:
    covered, plain = covering.samples(list(range(12))), samples[:12]
    for a, b in zip(covered, plain, strict=True):
        assert np.array_equal(a.landmarks, b.landmarks)
        assert a.inner.shape == (3, 52, 52)
        assert b.inner.shape == (0, 52, 52)
    assert sum(np.array_equal(a.image, b.image) for a, b in zip(covered, plain, strict=True)) < 10
    more, less = (sum(int(s.hidden.sum()) for s in some) for some in (covered, plain))
    assert more > less


def test_a_shard_keeps_what_is_covered(
    covering: Synthesizer, synthesizer: Synthesizer, tmp_path: Path
) -> None:
    write_shard(covering, tmp_path / "covered", 3, 2)
    write_shard(synthesizer, tmp_path / "plain", 3, 2)
    inner, hidden = read_covers(find_shards(tmp_path / "covered")[0])
    wanted = covering.samples([3, 4])
    assert np.array_equal(inner, np.stack([s.inner for s in wanted]))
    assert np.array_equal(hidden, np.stack([s.hidden for s in wanted]))
    with pytest.raises(FileNotFoundError):
        read_covers(find_shards(tmp_path / "plain")[0])
