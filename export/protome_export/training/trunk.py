"""The trunk of the guided network: Face Mesh, which is pretrained, with a decoder of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as fn
from torch import Tensor, nn

from .pretrained.facemesh import WIDTHS, FaceMesh


@dataclass(frozen=True)
class Widths:
    """Sizes of the decoder.

    Attributes:
        coarse: channels at 12 px.
        decoder: residual blocks at 12 and at 24 px, and channels there.
        code: numbers of the code.
    """

    coarse: int = 96
    decoder: tuple[int, int, int] = (1, 2, 64)
    code: int = 256


def conv(i: int, o: int, k: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(i, o, k, stride, k // 2, bias=False),
        nn.BatchNorm2d(o),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = conv(width, width, act=False)
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = fn.relu(x + self.second(self.first(x)))
        return out


def _up(x: Tensor) -> Tensor:
    return fn.interpolate(x, scale_factor=2.0, mode="nearest")


class FaceMeshTrunk(nn.Module):
    """Map windows to features and a code by a pretrained Face Mesh.

    Windows are (B, 3, 192, 192) in 0..1, features (B, C, 24, 24), the code (B, Q).

    frozen: its weights are not trained.
    """

    def __init__(self, w: Widths, path: Path, frozen: bool = False) -> None:
        super().__init__()
        self.mesh = FaceMesh(path)
        self.mesh.requires_grad_(not frozen)
        _, m1, m2, m3 = WIDTHS
        n2, n1, d1 = w.decoder
        self.squeeze = conv(m3, 32, 1)
        self.code = nn.Linear(32 * 36, w.code)
        self.spread = nn.Linear(w.code, 32 * 36)
        self.expand = nn.Conv2d(32, m3, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)
        c2 = w.coarse
        self.u3, self.k2 = conv(m3, c2, 1, act=False), conv(m2, c2, 1, act=False)
        self.d2 = nn.Sequential(*(Residual(c2) for _ in range(n2)))
        self.u2, self.k1 = conv(c2, d1, 1, act=False), conv(m1, d1, 1, act=False)
        self.d1 = nn.Sequential(*(Residual(d1) for _ in range(n1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.decode(self.mesh.maps(x))

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the same from the maps of Face Mesh."""
        _, f1, f2, f3 = maps
        code = fn.relu(self.code(self.squeeze(f3).flatten(1)))
        f3 = fn.relu(f3 + self.expand(fn.relu(self.spread(code)).view(-1, 32, 6, 6)))
        t = self.d2(fn.relu(_up(self.u3(f3)) + self.k2(f2)))
        return self.d1(fn.relu(_up(self.u2(t)) + self.k1(f1))), code
