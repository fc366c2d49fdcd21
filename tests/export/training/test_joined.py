from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from protome_export.heads.model import MIRROR68
from protome_export.training.geometry import umeyama
from protome_export.training.joined import JoinedNet, measure_offsets
from protome_export.training.pretrained.facemesh import SIDE, FaceMesh
from protome_export.training.reader.network import GuidedNet
from protome_export.training.reader.run import learned, load_weights
from protome_export.training.shape_space import ShapeSpace
from tests.export.runs import WIDTHS, small_joined, small_reader

CROPS = np.random.default_rng(1).integers(0, 255, (3, 192, 192, 3)).astype(np.uint8)


def _as_input(crops: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


def _turned(space: ShapeSpace, yaw: float) -> torch.Tensor:
    turn = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
    return torch.from_numpy((6.2 * space.canonical68 @ turn.T + 96)[None].astype(np.float32))


def _heard(
    net: JoinedNet, ours: torch.Tensor, second: torch.Tensor, presence: torch.Tensor
) -> torch.Tensor:
    rotation, scale, _ = umeyama(ours, net.reader.canonical68)
    return net._heard(ours, rotation, scale, second, presence)


def test_maps_and_outputs_have_the_shapes_of_the_original(pretrained: Path) -> None:
    mesh = FaceMesh(pretrained / "facemesh.npz")
    maps, landmarks, presence = mesh(torch.zeros(2, 3, SIDE, SIDE))
    shapes = [(2, 32, 48, 48), (2, 64, 24, 24), (2, 128, 12, 12), (2, 128, 6, 6)]
    assert [tuple(m.shape) for m in maps] == shapes
    assert landmarks.shape == (2, 468, 3)
    assert presence.tolist() == [10.0, 10.0]


def test_a_frozen_trunk_is_neither_trained_nor_saved(space: ShapeSpace, pretrained: Path) -> None:
    reader = small_reader(space, pretrained).train()
    out = reader(torch.rand(2, 3, 192, 192))
    reader.posed(out).square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in reader.trunk.mesh.parameters())
    state = learned(reader)
    assert not [name for name in state if name.startswith("trunk.mesh.")]
    load_weights(small_reader(space, pretrained), state)
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(GuidedNet(space, WIDTHS, pretrained / "facemesh.npz"), state)


@pytest.mark.parametrize(
    ("yaw", "presence", "share"),
    [(0, 10, 0.5), (39, 10, 0.5), (61, 10, 0), (-61, 10, 0), (150, 10, 0), (0, 2.9, 0)],
)
def test_the_second_opinion_counts_on_near_frontal_faces(
    space: ShapeSpace, pretrained: Path, yaw: float, presence: float, share: float
) -> None:
    net = small_joined(space, pretrained)
    ours = _turned(space, yaw)
    second = ours + torch.tensor([4.0, 2.0, 30.0])  # its depth has an origin of its own
    heard = _heard(net, ours, second, torch.tensor([presence]))
    assert torch.allclose(heard - ours, torch.tensor([4.0, 2.0, 0.0]) * share, atol=1e-3)


def test_offsets_are_measured_in_the_head_frame_and_taken_out(
    space: ShapeSpace, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = small_joined(space, pretrained)
    random = np.random.default_rng(3)
    planted = random.normal(0, 0.3, (68, 3)).astype(np.float32)
    planted = (planted + planted[MIRROR68] * [-1, 1, 1]) / 2
    planted[:, 2] -= planted[:, 2].mean()
    truth, seen = [], []
    for _ in range(12):
        turn = Rotation.from_euler("yxz", random.normal(0, 12, 3), degrees=True).as_matrix()
        truth.append(6.2 * space.canonical68 @ turn.T + 96)
        seen.append(6.2 * (space.canonical68 + planted) @ turn.T + 96)
    answers = torch.tensor(np.array(seen), dtype=torch.float32), torch.full((12,), 9.0)
    monkeypatch.setattr(net, "second_opinion", lambda x: answers)
    crops = np.zeros((12, 192, 192, 3), np.uint8)
    offsets = measure_offsets(net, crops, np.array(truth, np.float32))
    assert np.abs(offsets.numpy() - planted).max() < 0.02
    net.offsets.copy_(offsets)
    ours = torch.tensor(np.array(truth), dtype=torch.float32)
    assert (_heard(net, ours, *answers) - ours).abs().max() < 0.2


def test_given_out_landmarks_leave_the_jaw_where_it_is(space: ShapeSpace, pretrained: Path) -> None:
    net = small_joined(space, pretrained)
    net.offsets.fill_(0.4)
    with torch.no_grad():
        moved = net.annotated(net(_as_input(CROPS)))
    assert moved[:, :17].abs().max() == 0
    assert moved[:, 17:].norm(dim=-1).min() > 0.1
