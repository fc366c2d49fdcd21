import cv2
import numpy as np
import pytest
import torch

from protome_export.render.drawing.images import blur, jpeg, shrink, stretch
from protome_export.render.drawing.jpeg import through_jpeg
from protome_export.render.drawing.paint import (
    area,
    blended,
    capsules,
    centres,
    coarsening,
    gaussian,
    mix,
    patch,
    resample,
    taps,
)

CPU = torch.device("cpu")


def _picture(size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(3)
    small = rng.random((size // 8, size // 8, 3)).astype(np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def _planar(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def test_blur_is_opencv_s_away_from_the_border() -> None:
    image = _picture()
    ours = resample(_planar(image), gaussian(64, torch.tensor([2.0])))[0]
    want = blur(image, 2.0).transpose(2, 0, 1)
    assert np.abs(ours.numpy() - want)[:, 8:-8, 8:-8].max() < 2e-3
    assert torch.allclose(gaussian(64, torch.tensor([2.0, 9.0])).sum(-1), torch.ones(2, 64))


def test_area_averages_as_opencv_does() -> None:
    image = _picture()
    ours = resample(_planar(image), area(torch.tensor([27]), 64, 27))[0]
    assert np.abs(ours.numpy() - shrink(image, 27, 27).transpose(2, 0, 1)).max() < 1e-3


@pytest.mark.parametrize("cubic", [False, True])
def test_coarsening_is_down_and_up(cubic: bool) -> None:
    image = _picture()
    counts = torch.tensor([20, 64])
    ours = resample(
        _planar(image).repeat(2, 1, 1, 1), coarsening(64, counts, torch.tensor([cubic] * 2))
    )
    want = stretch(shrink(image, 20, 20), 64, 64, cubic=cubic).transpose(2, 0, 1)
    # OpenCV repeats the border where we leave out what is not there.
    assert np.abs(ours[0].numpy() - want)[:, 6:-6, 6:-6].max() < 2e-3
    assert torch.allclose(ours[1], _planar(image)[0], atol=1e-5)


def test_taps_wrap_around() -> None:
    row = torch.arange(8.0)
    at = taps(torch.tensor([[-0.5, 7.5, 3.0]]), 8, torch.tensor([False]), wrap=True)[0]
    assert torch.allclose(at @ row, torch.tensor([3.5, 3.5, 3.0]))


def test_capsules_cover_their_area() -> None:
    x = centres(64, CPU)
    ends = torch.tensor([[[[16.0, 20.0], [48.0, 40.0]]]])
    mask = capsules(ends, torch.tensor([[5.0]]), x, x, torch.ones(1))[0]
    length = np.hypot(32, 20)
    assert float(mask.sum()) == pytest.approx(length * 10 + np.pi * 25, rel=0.02)
    assert mask[30, 32] == 1
    assert mask[50, 10] == 0


@pytest.mark.parametrize(("kind", "want"), [(0, np.pi * 200), (1, 800.0), (2, 4.5 * 200)])
def test_patches_cover_their_area(kind: int, want: float) -> None:
    x = centres(96, CPU)
    mask = patch(
        torch.tensor([[48.0, 44.0]]), torch.tensor([[20.0, 10.0]]), torch.tensor([0.7]),
        torch.tensor([kind]), x, x,
    )  # fmt: skip
    assert float(mask.sum()) == pytest.approx(want, rel=0.08)


def test_mix_and_blended_weigh() -> None:
    image = torch.zeros(2, 3, 4, 4)
    out = mix(image, torch.ones(2, 3) * 0.5, torch.full((2, 4, 4), 0.5))
    assert torch.allclose(out, torch.full_like(out, 0.25))
    rows = torch.eye(3)
    got = blended(rows, torch.tensor([[0, 2]]), torch.tensor([[0.25, 0.75]]))
    assert torch.allclose(got, torch.tensor([[0.25, 0.0, 0.75]]))


@pytest.mark.parametrize("quality", [15, 40, 75, 95])
def test_jpeg_does_the_damage_libjpeg_does(quality: int) -> None:
    rng = np.random.default_rng(quality)
    image = (_picture(96) + rng.normal(0, 0.04, (96, 96, 3))).clip(0, 1).astype(np.float32)
    ours = through_jpeg(_planar(image), torch.tensor([float(quality)]))[0].numpy()
    levels = np.round(image * 255).astype(np.uint8)
    want = jpeg(levels, quality).transpose(2, 0, 1) / 255
    damage = np.sqrt(np.square(want - levels.transpose(2, 0, 1) / 255).mean())
    apart = np.sqrt(np.square(ours - want).mean())
    assert apart < 0.3 * damage
