from pathlib import Path

import numpy as np
import pytest
import torch

from protome_export.release.calibration import expected_error
from protome_export.training.geometry import LEAST, NEAREST
from protome_export.training.reader.network import GuidedNet
from protome_export.training.shape_space import ShapeSpace
from tests.export.runs import small_joined, small_reader


def _net(space: ShapeSpace, pretrained: Path) -> GuidedNet:
    torch.manual_seed(0)
    net = small_reader(space, pretrained)
    torch.nn.init.normal_(net.shape.out.weight, 0, 0.3)
    torch.nn.init.normal_(net.landmarks.maps.weight, 0, 0.3)
    return net


def test_untrained_network_poses_the_mean_head(space: ShapeSpace, pretrained: Path) -> None:
    net = small_reader(space, pretrained)
    with torch.no_grad():
        out = net(torch.zeros(2, 3, 192, 192))
        vertices, offset = net.placed(out)
    assert torch.allclose(vertices[..., 2].amin(1), torch.full((2,), NEAREST), atol=1e-4)
    assert torch.allclose(net.posed(out, bare=True) + offset[:, None], vertices)
    size = vertices[0].amax(0) - vertices[0].amin(0)
    assert (size > 6.2 * 12).all()  # px: a head
    assert (size < 6.2 * 35).all()


def test_a_head_that_comes_before_the_volume_is_moved_back(
    space: ShapeSpace, pretrained: Path
) -> None:
    net = small_reader(space, pretrained)
    with torch.no_grad():
        out = net(torch.zeros(1, 3, 192, 192))
        offsets, nearest = [], []
        for size in (0.0, 1.0, 40.0):
            out.coefficients = torch.full((1, len(space.modes)), size)
            vertices, offset = net.placed(out)
            offsets.append(float(offset[0, 2]))
            nearest.append(float(vertices[..., 2].min()))
    assert offsets[0] == offsets[1] < offsets[2]  # the mean head's place, but for the last
    assert nearest[0] == pytest.approx(NEAREST, abs=1e-4)
    assert nearest[1] > LEAST
    assert nearest[2] == pytest.approx(LEAST, abs=1e-3)


def test_gradients_reach_every_part(space: ShapeSpace, pretrained: Path) -> None:
    net = _net(space, pretrained).train()
    out = net(torch.rand(3, 3, 192, 192))
    net.posed(out).square().mean().backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_bfloat16_convolutions_keep_geometry_in_float32(
    space: ShapeSpace, pretrained: Path
) -> None:
    net = _net(space, pretrained)
    crops = torch.rand(1, 3, 192, 192)
    with torch.no_grad():
        want = net(crops)
        net.amp = True
        got = net(crops)
    assert got.landmarks.dtype == torch.float32
    assert (got.landmarks - want.landmarks).abs().max() < 3.0


def test_expected_error_is_right_on_average(space: ShapeSpace, pretrained: Path) -> None:
    net = small_joined(space, pretrained)
    rng = np.random.default_rng(2)
    crops = rng.integers(0, 255, (12, 192, 192, 3)).astype(np.uint8)
    truth = rng.uniform(40, 150, (12, 68, 3)).astype(np.float32)
    constant, factor = expected_error(net, crops, truth)
    truth[..., 2] -= truth[..., 2].mean(1, keepdims=True)
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        out = net(x)
    assert (out.width >= 0).all()
    expected = constant + factor * float(out.width.mean())
    error = np.linalg.norm(out.landmarks.numpy() - truth, axis=2).mean()
    assert abs(expected - error) < 1e-2
