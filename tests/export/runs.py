"""What the tests of a run share."""

from __future__ import annotations

from pathlib import Path

import torch

from protome_export.training.finder.network import FinderNet
from protome_export.training.joined import JoinedNet
from protome_export.training.pretrained.yunet import YuNet
from protome_export.training.reader.network import GuidedNet
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.trunk import Widths

WIDTHS = Widths(16, (0, 1, 16), 32)


def space_of(run: Path) -> ShapeSpace:
    """The shape space of a run."""
    return ShapeSpace.load(run / "run" / "space.npz")


def small_reader(space: ShapeSpace, pretrained: Path) -> GuidedNet:
    """Build an untrained reader over the small Face Mesh."""
    return GuidedNet(space, WIDTHS, pretrained / "facemesh.npz", frozen=True).eval()


def small_joined(space: ShapeSpace, pretrained: Path) -> JoinedNet:
    """Build a finder and a reader whose answers depend on the crop."""
    torch.manual_seed(0)
    reader, finder = small_reader(space, pretrained), FinderNet(YuNet()).eval()
    torch.nn.init.normal_(reader.shape.out.weight, 0, 0.1)
    torch.nn.init.normal_(reader.landmarks.maps.weight, 0, 0.1)
    torch.nn.init.normal_(finder.out.weight, 0, 0.02)
    return JoinedNet(finder, reader).eval()
