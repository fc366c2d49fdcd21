"""The networks as they are exported, together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from protome_export.release.calibration import Calibration
from protome_export.release.onnx import write_onnx
from protome_export.release.parity import parity
from protome_export.release.served import OUTPUTS, ServedNet
from protome_export.training.cover.network import CoverNet
from protome_export.training.geometry import CROP, FINDER_CORNER
from protome_export.training.hair.network import HairNet
from protome_export.training.joined import JoinedNet
from protome_export.training.pretrained.selfie import Selfie
from protome_export.training.shape_space import ShapeSpace
from tests.export.runs import small_joined

CROPS = np.random.default_rng(1).integers(0, 255, (3, 208, 208, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def joined(space: ShapeSpace, pretrained: Path) -> JoinedNet:
    return small_joined(space, pretrained)


@pytest.fixture(scope="module")
def hair(pretrained: Path) -> HairNet:
    torch.manual_seed(1)
    net = HairNet(Selfie(pretrained / "selfie.npz").requires_grad_(False)).eval()
    torch.nn.init.normal_(net.out.weight, 0, 0.3)
    return net


def _calibration() -> Calibration:
    offsets = np.random.default_rng(0).normal(0, 0.2, (68, 3)).astype(np.float32)
    return Calibration(1.0, 0.5, offsets)


def test_outputs_are_the_networks_own_moved_into_the_crop(
    space: ShapeSpace, joined: JoinedNet, hair: HairNet
) -> None:
    calibration = _calibration()
    served = ServedNet(joined, space.landmarks, calibration, hair).eval()
    assert joined.offsets.abs().max() == 0  # the network itself stays as it is
    left, top = FINDER_CORNER
    pixels = torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        vertices, cells, landmarks, pose, error = served(torch.from_numpy(CROPS))
        joined.offsets.copy_(torch.from_numpy(calibration.offsets))
        out = joined(pixels[:, :, top : top + CROP, left : left + CROP])
        own, offset = joined.placed(out)
        origin = out.translation + offset + torch.tensor([left, top, 0.0])
        logits = hair(pixels, out.rotation, out.scale, origin)
        annotated = joined.annotated(out)
        joined.offsets.zero_()
    assert torch.allclose(vertices, own + torch.tensor([left, top, 0.0]), atol=2e-3)
    assert (cells.int() - torch.sigmoid(logits) * 255).abs().max() <= 2
    assert cells.dtype == torch.uint8
    assert 0.001 < (cells > 127).float().mean() < 0.999
    want = vertices[:, torch.from_numpy(space.landmarks).long()] + annotated
    assert torch.allclose(landmarks, want, atol=2e-3)
    canonical = torch.from_numpy(space.canonical68) * torch.tensor([1.0, -1.0, -1.0])
    back = canonical @ pose[:, :, :3].transpose(1, 2) + pose[:, None, :, 3]
    straight = (
        torch.from_numpy(space.canonical68)
        @ (out.rotation * out.scale[:, None, None]).transpose(1, 2)
        + origin[:, None]
    )
    assert torch.allclose(back, straight, atol=2e-3)
    assert torch.allclose(error, (out.width * 0.5 + 1).clamp(min=0.5), atol=1e-3)


def test_the_exported_model_does_what_the_network_does(
    space: ShapeSpace, joined: JoinedNet, hair: HairNet, tmp_path: Path
) -> None:
    calibration = _calibration()
    path = tmp_path / "model.onnx"
    write_onnx(ServedNet(joined, space.landmarks, calibration, hair), path)
    rows = list(parity(ServedNet(joined, space.landmarks, calibration, hair).eval(), path, CROPS))
    assert max(row.worst for row in rows) < 0.3
    assert max(row.hair for row in rows) < 0.01
    assert max(row.landmarks for row in rows) < 0.3
    # Nothing is stored twice.
    stored = onnx.load(str(path)).graph.initializer
    large = [t for t in stored if np.prod(t.dims) > 20_000 and len(t.dims) == 4]
    assert large
    assert len({t.raw_data for t in large}) == len(large)


@pytest.fixture(scope="module")
def covering(joined: JoinedNet) -> JoinedNet:
    """Make a network that tells covered faces."""
    torch.manual_seed(2)
    cover = CoverNet().eval()
    torch.nn.init.normal_(cover.out.weight, 0, 1)
    return JoinedNet(joined.finder, joined.reader, cover).eval()


@pytest.fixture(scope="module")
def hairless(
    space: ShapeSpace, covering: JoinedNet, tmp_path_factory: pytest.TempPathFactory
) -> ort.InferenceSession:
    """Export it without a network of hair."""
    path = tmp_path_factory.mktemp("hairless") / "model.onnx"
    write_onnx(ServedNet(covering, space.landmarks, Calibration()), path)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_without_a_hair_network_there_is_none(hairless: ort.InferenceSession) -> None:
    (cells,) = hairless.run(["hair"], {"crops": CROPS[:2]})
    assert cells.shape == (2, 42, 52, 52)
    assert cells.dtype == np.uint8
    assert cells.max() == 0


def test_a_cover_network_reads_the_maps_of_the_window(
    space: ShapeSpace, joined: JoinedNet, covering: JoinedNet, hairless: ort.InferenceSession
) -> None:
    (shares,) = hairless.run(["covered"], {"crops": CROPS})
    assert (shares.shape, shares.dtype) == ((3, 3), np.float32)
    left, top = FINDER_CORNER
    pixels = torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() / 255
    pixels = pixels[:, :, top : top + CROP, left : left + CROP]
    with torch.no_grad():
        assert covering.cover is not None
        window = covering.finder.find(pixels)
        wanted = covering.cover(covering.mesh.maps(window.cut(pixels))[1:])
    assert shares == pytest.approx(wanted.numpy(), abs=0.02)
    assert np.ptp(wanted.numpy()) > 0.05
    # Without one the model does not say that it tells.
    assert ServedNet(joined, space.landmarks, Calibration()).outputs == OUTPUTS


def test_a_calibration_reads_back(tmp_path: Path) -> None:
    for one in (_calibration(), Calibration(2.0, 3.0)):
        one.save(tmp_path / "c.json")
        again = Calibration.load(tmp_path / "c.json")
        assert (again.constant, again.factor) == (one.constant, one.factor)
        if one.offsets is None:
            assert again.offsets is None
        else:
            assert again.offsets is not None
            assert np.allclose(again.offsets, one.offsets)
