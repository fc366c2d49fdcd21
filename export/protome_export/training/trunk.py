"""The convolutional trunks of the guided network: our own, and one on top of Face Mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from .facemesh import WIDTHS, FaceMesh

INPUT = 96


@dataclass(frozen=True)
class Widths:
    """Channels and residual blocks of the encoder at 48, 24, 12 and 6 px; of the decoder at 12
    px (blocks only) and 24 px."""

    encoder: tuple[int, int, int, int] = (24, 48, 96, 192)
    blocks: tuple[int, int, int, int] = (0, 1, 3, 2)
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


class Trunk(nn.Module):
    """Map crops (B, 3, 192, 192) or (B, 3, 96, 96) in 0..1 to features (B, C, 24, 24) and a code
    (B, Q)."""

    xy: Tensor

    def __init__(self, w: Widths) -> None:
        super().__init__()
        c0, c1, c2, c3 = w.encoder
        n2, n1, d1 = w.decoder

        def stage(i: int, o: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(conv(i, o, 3, 2), *(Residual(o) for _ in range(blocks)))

        self.e0, self.e1 = stage(5, c0, w.blocks[0]), stage(c0, c1, w.blocks[1])
        self.e2, self.e3 = stage(c1, c2, w.blocks[2]), stage(c2, c3, w.blocks[3])
        # The whole face seen at once, cheaply: few channels, all positions.
        self.squeeze = conv(c3, 32, 1)
        self.code = nn.Linear(32 * 36, w.code)
        self.spread = nn.Linear(w.code, 32 * 36)
        self.expand = nn.Conv2d(32, c3, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)
        self.u3 = conv(c3, c2, 1, act=False)
        self.d2 = nn.Sequential(*(Residual(c2) for _ in range(n2)))
        self.u2, self.k1 = conv(c2, d1, 1, act=False), conv(c1, d1, 1, act=False)
        self.d1 = nn.Sequential(*(Residual(d1) for _ in range(n1)))
        g = torch.linspace(-1, 1, INPUT)
        self.register_buffer("xy", torch.stack(torch.meshgrid(g, g, indexing="xy"))[None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[-1] != INPUT:
            x = fn.avg_pool2d(x, x.shape[-1] // INPUT)
        x = torch.cat([x * 2 - 1, self.xy.expand(x.shape[0], -1, -1, -1)], 1)
        f1 = self.e1(self.e0(x))
        f2 = self.e2(f1)
        f3 = self.e3(f2)
        code = fn.relu(self.code(self.squeeze(f3).flatten(1)))
        f3 = fn.relu(f3 + self.expand(fn.relu(self.spread(code)).view(-1, 32, 6, 6)))
        t = self.d2(fn.relu(_up(self.u3(f3)) + f2))
        return self.d1(fn.relu(_up(self.u2(t)) + self.k1(f1))), code


class FaceMeshTrunk(nn.Module):
    """Map windows (B, 3, 192, 192) in 0..1 to features (B, C, 24, 24) and a code (B, Q), by a
    pretrained Face Mesh.

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
        c2 = w.encoder[2]
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
