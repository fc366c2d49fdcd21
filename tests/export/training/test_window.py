import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from protome_export.training.geometry import umeyama
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.window import REACH, SIDE, Window, around, face_size


def _pose(space: ShapeSpace, roll: float, scale: float = 6.2) -> torch.Tensor:
    """Landmarks (1, 68, 3) of the mean head rolled by so many degrees about the crop's centre."""
    turn = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    points = scale * space.canonical68 @ turn.T + [96, 96, 0]
    return torch.from_numpy(points[None].astype(np.float32))


def _window(space: ShapeSpace, landmarks: torch.Tensor) -> Window:
    canonical = torch.from_numpy(space.canonical68)
    rotation, scale, _ = umeyama(landmarks, canonical)
    return around(landmarks, rotation, scale, face_size(canonical))


@pytest.mark.parametrize("roll", [0, 35, -90, 170])
def test_the_face_is_upright_centred_and_of_one_size_in_its_window(
    space: ShapeSpace, roll: float
) -> None:
    landmarks = _pose(space, roll)
    inside = _window(space, landmarks).from_crop(landmarks)[0]
    middle = (inside[:, :2].amax(0) + inside[:, :2].amin(0)) / 2
    assert torch.allclose(middle, torch.full((2,), SIDE / 2), atol=0.1)
    eyes = inside[45] - inside[36]
    assert abs(float(torch.atan2(eyes[1], eyes[0]))) < 0.05
    size = (inside[:, :2].amax(0) - inside[:, :2].amin(0)).prod().sqrt()
    assert float(size) == pytest.approx(SIDE / REACH, rel=0.02)


def test_points_return_to_the_crop_exactly(space: ShapeSpace) -> None:
    landmarks = _pose(space, 25)
    window = _window(space, landmarks)
    assert torch.allclose(window.to_crop(window.from_crop(landmarks)), landmarks, atol=1e-3)


def test_the_picture_is_cut_where_the_points_say(space: ShapeSpace) -> None:
    landmarks = _pose(space, 25)
    window = _window(space, landmarks)
    crop = torch.zeros(1, 1, 192, 192)
    crop[0, 0, 110:113, 80:83] = 1  # centred at (81.5, 111.5)
    cut = window.cut(crop)[0, 0]
    row, column = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    found = torch.stack([(cut * column).sum(), (cut * row).sum()]) / cut.sum()
    want = window.from_crop(torch.tensor([[[81.5, 111.5, 0.0]]]))[0, 0, :2]
    assert torch.allclose(found, want, atol=0.3)


def test_outside_of_the_crop_its_edge_is_repeated(space: ShapeSpace) -> None:
    window = _window(space, _pose(space, 25) + torch.tensor([60.0, 0.0, 0.0]))
    crop = torch.rand(1, 3, 192, 192)
    at = torch.arange(SIDE) + 0.5
    row, column = torch.meshgrid(at, at, indexing="ij")
    places = torch.stack([column, row, torch.zeros_like(row)], -1).view(1, -1, 3)
    grid = window.to_crop(places)[..., :2] * (2 / 192) - 1
    assert float(grid.max()) > 1.05
    want = torch.nn.functional.grid_sample(
        crop, grid.view(1, SIDE, SIDE, 2), padding_mode="border", align_corners=False
    )
    assert torch.allclose(window.cut(crop), want, atol=1e-4)


def test_rotations_go_to_the_crop_with_the_points(space: ShapeSpace) -> None:
    landmarks = _pose(space, 35)
    window, canonical = _window(space, landmarks), torch.from_numpy(space.canonical68)
    rotation, scale, _ = umeyama(window.from_crop(landmarks), canonical)
    want, size, _ = umeyama(landmarks, canonical)
    assert torch.allclose(window.rotated(rotation), want, atol=1e-4)
    assert torch.allclose(scale * window.zoom, size, atol=1e-4)


def test_jitter_misses_the_face_by_what_it_says(space: ShapeSpace) -> None:
    landmarks = _pose(space, 0)
    canonical = torch.from_numpy(space.canonical68)
    rotation, scale, _ = umeyama(landmarks, canonical)
    jitter = torch.tensor([[0.2, float(np.log(1.25)), 7.0, -3.0]])
    plain = around(landmarks, rotation, scale, face_size(canonical))
    missed = around(landmarks, rotation, scale, face_size(canonical), jitter)
    assert float(missed.zoom / plain.zoom) == pytest.approx(1.25, rel=1e-4)
    cosine = (missed.turn * plain.turn).sum() / 2
    assert float(torch.arccos(cosine)) == pytest.approx(0.2, abs=1e-3)
