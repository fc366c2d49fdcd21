import numpy as np
import pytest
import torch
from torch import Tensor

from protome_export.appearance import recapture, restyle
from protome_export.config import Config

SETTINGS = ("filtered", "toned", "coloured", "rescaled", "compressed")


def _crops() -> Tensor:
    """Bright discs on a dark ground, each of its own colour and place."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:96, 0:96] + 0.5
    crops = np.empty((12, 3, 96, 96), np.float32)
    for crop in crops:
        middle, colour = rng.uniform(35, 60, 2), rng.uniform(0.5, 0.9, 3)
        inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < 400
        crop[:] = np.where(inside, colour[:, None, None], 0.2)
    return torch.from_numpy(crops)


def _vary(crops: Tensor, config: Config, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return recapture(restyle(crops, rng, config), rng, config)


def _only(setting: str, share: float) -> Config:
    shares = dict.fromkeys(SETTINGS, 0.0) | {setting: share}
    return Config(**shares)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_changes_the_share_it_is_told(setting: str) -> None:
    crops = _crops()
    assert not torch.equal(_vary(crops, _only(setting, 1.0)), crops)
    few = _vary(crops, _only(setting, 0.4))
    same = (few == crops).flatten(1).all(1)
    assert 0 < int(same.sum()) < len(crops)
    assert torch.isfinite(few).all()
    assert float(few.min()) >= 0
    assert float(few.max()) <= 1


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_seed_decides_and_what_came_in_stays_as_it_was(setting: str) -> None:
    crops, config = _crops(), _only(setting, 1.0)
    before = crops.clone()
    assert torch.equal(_vary(crops, config, 3), _vary(crops, config, 3))
    assert not torch.equal(_vary(crops, config, 3), _vary(crops, config, 4))
    assert torch.equal(crops, before)


def test_switched_off_nothing_is_changed_nor_drawn() -> None:
    crops, rng = _crops(), np.random.default_rng(0)
    config = _only("filtered", 0.0)
    assert torch.equal(recapture(restyle(crops, rng, config), rng, config), crops)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("setting", SETTINGS)
def test_edges_stay_where_they_are(setting: str) -> None:
    """What lies within the disc still differs from what lies without, at the same place."""
    crops = _crops()
    mask = crops[:, :1] > 0.3
    for seed in range(4):
        for x, inside in zip(_vary(crops, _only(setting, 1.0), seed), mask, strict=True):
            cells = x.flatten(1).T  # the channel mix that tells the two apart best
            flag = inside.flatten().float()
            table = torch.cat([cells, torch.ones(len(cells), 1)], 1)
            weights = torch.linalg.lstsq(table, flag[:, None]).solution
            right = ((table @ weights)[:, 0] > 0.5) == inside.flatten()
            assert float(right.float().mean()) > 0.93
