"""What the renderer puts on and around a head: hair, skin, glasses, light, backdrop, camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from protome_export.heads.model import HeadModel
from protome_export.render.camera import take_photos
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.raster import NOTHING
from protome_export.render.lighting import Casters, sample_lights
from protome_export.render.looks.backdrop import draw_shoulders, sample_backdrops
from protome_export.render.looks.eyewear import (
    COUNT,
    FRAME_TRIANGLES,
    LENS_TRIANGLES,
    sample_glasses,
)
from protome_export.render.looks.hair import Hair
from protome_export.render.looks.occluders import draw_hands, draw_objects, draw_strands
from protome_export.render.sample import Synthesizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def noise(synthesizer: Synthesizer) -> NoiseBank:
    return synthesizer.noise


def _dice(count: int, stream: int = 0) -> Dice:
    return Dice(range(count), stream, CPU)


@pytest.fixture(scope="module")
def hair(synthesizer: Synthesizer, head: HeadModel) -> Hair:
    vertices = torch.from_numpy(head.neutral.astype(np.float32)).expand(200, -1, -1)
    return synthesizer.renderer.shell.sample(_dice(200), synthesizer.noise, vertices)


def test_noise_is_periodic_and_of_unit_variance(noise: NoiseBank) -> None:
    for kind in noise.banks:
        drawn = noise.draw(_dice(20), kind)
        assert float(drawn.std()) == pytest.approx(1, abs=0.05)
        again = noise.draw(_dice(20), kind, 16, 32)
        assert torch.equal(again, drawn[:, :16, :32])


def test_hair_covers_what_its_style_says(hair: Hair) -> None:
    shown = hair.shown.float().mean(1)
    assert (shown[~hair.covers] == 0).all()
    assert (shown[hair.covers] > 0.1).all()
    lowest = hair.vertices[..., 1].amin(1)
    assert lowest[hair.long].mean() < lowest[hair.covers & ~hair.long].mean() - 3
    crown = hair.alpha[:, 0].mean(1)
    assert (crown[hair.bald] < 0).all()
    assert (crown[hair.covers & ~hair.bald] > 0).all()
    face = hair.alpha[:, hair.alpha.shape[1] // 2, 118:138].mean(1)
    assert (face[hair.covers] < 0).float().mean() > 0.9
    assert 0.75 < float(hair.covers.float().mean()) < 0.95
    assert 0.04 < float(hair.hat.float().mean()) < 0.2


def test_skins_have_brows_and_hair_roots(synthesizer: Synthesizer, hair: Hair) -> None:
    painter = synthesizer.renderer.skins
    roots = torch.zeros(200, 256, 256)
    roots[:, :20] = 1
    skin = painter.sample(_dice(200, 1), hair, roots)
    assert skin.face.min() >= 0.003
    assert skin.face.max() <= 1
    bare = (skin.face.mean(1) - skin.tone.mean(1)[:, None, None]).abs()
    haired = hair.covers & ~hair.hat & ~hair.bald
    near = (skin.face[:, :, :18] - hair.colour[:, :, None, None]).abs().mean((1, 2, 3))
    assert (near[haired] < 0.1).all()
    x, y = (int(v) for v in painter.points[19])
    brow = skin.face[:, :, y - 3 : y + 8, x - 2 : x + 3].mean(1).amin((1, 2))
    assert (brow < skin.tone.mean(1)).float().mean() > 0.75
    assert bare[:, 100:120, 100:120].mean() < 0.15
    assert skin.tone.mean(1).max() > 4 * skin.tone.mean(1).min()


def test_glasses_sit_before_the_eyes(head: HeadModel) -> None:
    landmarks = torch.from_numpy(head.landmarks_neutral.astype(np.float32)).expand(50, -1, -1)
    glasses = sample_glasses(_dice(50), landmarks)
    assert glasses.vertices.shape == (50, COUNT, 3)
    for triangles in (FRAME_TRIANGLES, LENS_TRIANGLES):
        assert triangles.min() >= 0
        assert triangles.max() < COUNT
    centres = glasses.vertices[:, np.unique(LENS_TRIANGLES[:, 0])]
    eyes = torch.stack([landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)], 1)
    assert ((centres - eyes)[..., 0].abs() < 0.01).all()
    assert ((centres - eyes)[..., 1].abs() < 0.7).all()
    assert ((centres - eyes)[..., 2] > 0).all()
    assert 0 < int(glasses.worn.sum()) < 25


def test_a_shadow_falls_behind_what_casts_it(synthesizer: Synthesizer) -> None:
    """A wall in front of the light: the map holds its depth, nothing where there is none."""
    n = 40
    square = torch.tensor([[0.0, 0, 0], [60, 0, 0], [60, 60, 0], [0, 60, 0]]) + torch.tensor(
        [114.0, 114, 0]
    )
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    casters = Casters(
        square.expand(n, -1, -1), triangles, torch.ones(n, 2, dtype=torch.bool),
        torch.tensor([144.0, 144, 0]).expand(n, -1), torch.full((n,), 9.0),
    )  # fmt: skip
    lights = sample_lights(_dice(n), synthesizer.assets, casters)
    assert torch.allclose(lights.direction.norm(dim=1), torch.ones(n), atol=1e-5)
    cast = torch.nonzero(lights.slot >= 0)[:, 0]
    assert 5 < len(cast) < n
    assert len(lights.shadow) == len(cast)
    for k in cast.tolist():
        m, shadow = lights.matrix[k], lights.shadow[lights.slot[k]]
        column, row, depth = (m[:, :3] @ torch.tensor([144.0, 144, 0]) + m[:, 3]).tolist()
        if abs(float(lights.direction[k, 2])) > 0.3:  # not seen from its edge
            assert float(shadow[int(row), int(column)]) == pytest.approx(depth, abs=2.5)
        assert (shadow == NOTHING).any()


def test_backdrops_are_varied_light(synthesizer: Synthesizer, noise: NoiseBank) -> None:
    drawn = sample_backdrops(_dice(60), synthesizer.assets, noise, 64)
    assert drawn.shape == (60, 3, 64, 64)
    assert torch.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert drawn.mean((1, 2, 3)).std() > 0.1
    assert (drawn.std((2, 3)).amax(1) > 0.02).float().mean() > 0.6


def test_shoulders_lie_below_the_chin(noise: NoiseBank) -> None:
    canvas = torch.full((40, 3, 192, 192), -1.0)
    chin = torch.tensor([96.0, 120.0]).expand(40, -1)
    drawn = draw_shoulders(_dice(40), noise, canvas, chin, torch.full((40,), 6.2))
    changed = (drawn != canvas).any(1)
    assert not changed[:, :125].any()
    assert 0.7 < float(changed[:, 190, 96].float().mean()) < 1


def test_things_in_front_cover_a_part_of_some(noise: NoiseBank) -> None:
    canvas, skin = torch.full((60, 3, 96, 96), 2.0), torch.full((60, 3), 0.3)
    for share, low, high in ((0.0, 0, 0), (0.5, 18, 42)):
        for drawn in (
            draw_hands(_dice(60), canvas.clone(), skin, share)[0],
            draw_objects(_dice(60, 1), canvas.clone(), share)[0],
            draw_strands(_dice(60, 2), canvas.clone(), skin, torch.full((60,), share)),
        ):
            area = (drawn != canvas).any(1).float().mean((1, 2))
            assert low <= int((area > 0).sum()) <= high
            assert (area < 0.7).all()


def test_photos_are_what_cameras_make(noise: NoiseBank) -> None:
    rng = np.random.default_rng(0)
    scene = torch.from_numpy(rng.gamma(1, 0.3, (300, 3, 12, 12)).astype(np.float32))
    scene = torch.nn.functional.interpolate(scene, (96, 96), mode="bilinear")
    mask = torch.ones(300, 96, 96)
    photos = take_photos(_dice(300), noise, scene, mask, torch.full((300,), 0.4)).numpy()
    assert photos.dtype == np.uint8
    assert photos.shape == (300, 96, 96, 3)
    levels = photos.astype(int)
    middle = levels[:, 45:51, 45:51]
    spread = (middle.max(-1) - middle.min(-1)).mean((1, 2))
    assert 0.05 < (spread < 1).mean() < 0.25  # black and white
    assert 0.02 < (levels[:, 0].max((1, 2)) == 0).mean() < 0.15  # borders
    assert levels.mean((1, 2, 3)).std() + 20 > 40
    assert 70 < levels.mean() < 160
