from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from protome_export.cli import main
from protome_export.heads.model import MIRROR68, HeadModel
from protome_export.heads.pose import make_camera, sample_shape
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.view import View
from protome_export.render.gbuffer import scattered
from protome_export.render.sample import Sample, Synthesizer
from protome_export.training.shards import find_shards, read_shard, write_shard


def test_a_seed_decides_everything(synthesizer: Synthesizer) -> None:
    alone = synthesizer.samples([7])[0]
    again = synthesizer.samples([3, 7])[1]
    other = synthesizer.samples([8])[0]
    assert np.array_equal(alone.image, again.image)
    assert np.allclose(alone.landmarks, again.landmarks, atol=1e-3)
    assert not np.array_equal(alone.image, other.image)


def test_samples_are_framed_and_varied(samples: Sequence[Sample]) -> None:
    assert len(samples) == 40
    for s in samples:
        assert s.image.shape == (208, 208, 3)
        assert s.image.dtype == np.uint8
        box = (s.landmarks[:, :2].max(0) + s.landmarks[:, :2].min(0)) / 2
        assert np.abs(box - [104, 119]).max() <= 13.01  # the jitter of a detector's box
    yaw = np.array([s.shape.angles[0] for s in samples])
    assert (np.abs(yaw) > 60).sum() >= 6
    assert (np.abs(yaw) < 30).sum() >= 6
    assert np.std([s.image.mean() for s in samples]) > 15
    assert sum(np.isfinite(s.shape.distance) for s in samples) not in (0, 40)


def test_positive_yaw_turns_the_nose_to_the_right_of_the_picture(samples: Sequence[Sample]) -> None:
    turned = [s for s in samples if abs(s.shape.angles[0]) > 40 and abs(s.shape.angles[2]) < 15]
    assert len(turned) > 9
    for s in turned:
        nose = s.landmarks[30, 0] - s.landmarks[[0, 16], 0].mean()
        assert np.sign(nose) == np.sign(s.shape.angles[0])


def test_face_is_drawn_where_the_landmarks_are(synthesizer: Synthesizer) -> None:
    """The picture changes around the landmarks when the head's pose alone changes."""
    rng = np.random.default_rng(4)
    shape = sample_shape(rng, synthesizer.head)
    shape.angles, shape.distance, shape.shift = (0.0, 0.0, 0.0), 60.0, (0.0, 0.0)
    vertices = synthesizer.head.neutral
    camera = make_camera(shape, vertices[synthesizer.head.landmarks])
    with torch.inference_mode():
        layer = synthesizer.renderer.heads(
            Dice([5], 0, synthesizer.device),
            torch.from_numpy(vertices[None].astype(np.float32)),
            View.of([camera], synthesizer.device),
        )
    mask = layer.face[0].numpy()
    marks = camera.project(vertices[synthesizer.head.landmarks])
    at = marks[17:, :2].astype(int)
    assert mask[at[:, 1], at[:, 0]].mean() > 0.97
    assert mask[:13].mean() < mask[80:134, 67:127].mean()


def test_perspective_enlarges_what_is_near(synthesizer: Synthesizer) -> None:
    points = synthesizer.head.landmarks_neutral
    shape = sample_shape(np.random.default_rng(1), synthesizer.head)
    shape.angles = (0.0, 0.0, 0.0)
    widths = []
    for distance in (40.0, float("inf")):
        shape.distance = distance
        p = make_camera(shape, points).project(points)
        eyes, jaw = np.ptp(p[[36, 45], 0]), np.ptp(p[[0, 16], 0])
        widths.append(eyes / jaw)
    assert widths[0] > widths[1] * 1.02


def test_mirror_map_swaps_left_and_right() -> None:
    assert np.array_equal(MIRROR68[MIRROR68], np.arange(68))
    assert MIRROR68[0] == 16
    assert MIRROR68[36] == 45
    assert MIRROR68[48] == 54
    assert MIRROR68[30] == 30


def test_shards_keep_images_and_labels_together(
    synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(synthesizer, tmp_path, 100, 3)
    (path,) = find_shards(tmp_path)
    shard = read_shard(path)
    want = synthesizer.samples([102])[0]
    assert np.array_equal(shard.images[2], want.image)
    assert np.allclose(shard.labels.landmarks[2], want.landmarks, atol=1e-3)
    view, shape = shard.labels.view(2), shard.labels.shape(2)
    assert np.allclose(view.rotation, want.camera.rotation)
    assert np.allclose(shape.identity, want.shape.identity)


def test_an_interrupted_generation_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["generate", "--count", "4", "--shard", "2", str(tmp_path)])
    first, second = find_shards(tmp_path)
    before = first.stat().st_mtime_ns
    second.unlink()
    capsys.readouterr()
    main(["generate", "--count", "4", "--shard", "2", str(tmp_path)])
    assert capsys.readouterr().out.count("samples") == 1
    assert find_shards(tmp_path) == [first, second]
    assert first.stat().st_mtime_ns == before


def test_every_tensor_is_made_on_the_device_asked_for(
    head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another default device, whatever is made without naming one fails: what a GPU would
    meet. And its rasteriser draws the same pictures."""
    monkeypatch.setattr("protome_export.render.sample.NoiseBank", NoiseBank)
    with torch.device("meta"):
        synthesizer = Synthesizer(head, None)
        want = synthesizer.samples(list(range(8)))
        monkeypatch.setattr("protome_export.render.gbuffer._draw_each", scattered)
        got = synthesizer.samples(list(range(8)))
    for a, b in zip(want, got, strict=True):
        assert np.abs(a.image.astype(int) - b.image).mean() < 0.02
