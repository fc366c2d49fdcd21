"""The guided network: crop -> 68 3D landmarks -> pose -> shape -> posed head -> occupancy.

The trunk sees the crop at 96x96. Landmarks come by soft-argmax from heatmaps, a first pose from
them by least squares, and a shape head adds what is this face's own to the mean head: a linear
residual in the modes of the shape space. The pose is then that of this very head, each landmark
weighing as much as its heat is narrow. The posed head is voxelised inside the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome_export.heads.model import MIRROR68

from .facemesh import WIDTHS, FaceMesh
from .geometry import CROP, LEAST, NEAREST, Voxeliser, umeyama
from .shape_space import ShapeSpace
from .window import REACH, SIDE, face_size

INPUT = 96
_MAP = 24  # heatmaps are this large
_HALF = CROP / 2  # landmarks inside the network are px / 96 from the crop's centre


@dataclass(frozen=True)
class Widths:
    """Channels and residual blocks of the encoder at 48, 24, 12 and 6 px; of the decoder at 12
    px (blocks only) and 24 px."""

    encoder: tuple[int, int, int, int] = (24, 48, 96, 192)
    blocks: tuple[int, int, int, int] = (0, 1, 3, 2)
    decoder: tuple[int, int, int] = (1, 2, 64)
    code: int = 256


@dataclass
class Output:
    """landmarks (B, 68, 3) crop px, z about their mean; pose R (B, 3, 3), s (B,), t (B, 3);
    coefficients (B, K) of the shape space; doubt (B, 68, 2) px: standard deviation of the heat,
    and how far the mirror image's opinion lies off (0 without one)."""

    landmarks: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    coefficients: Tensor
    doubt: Tensor


def _conv(i: int, o: int, k: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(i, o, k, stride, k // 2, bias=False),
        nn.BatchNorm2d(o),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = _conv(width, width, act=False)
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = fn.relu(x + self.second(self.first(x)))
        return out


def _up(x: Tensor) -> Tensor:
    return fn.interpolate(x, scale_factor=2.0, mode="nearest")


class Trunk(nn.Module):
    """Crop (B, 3, 192, 192) or (B, 3, 96, 96) in 0..1 -> features (B, C, 24, 24), code (B, Q)."""

    xy: Tensor

    def __init__(self, w: Widths) -> None:
        super().__init__()
        c0, c1, c2, c3 = w.encoder
        n2, n1, d1 = w.decoder

        def stage(i: int, o: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(_conv(i, o, 3, 2), *(_Residual(o) for _ in range(blocks)))

        self.e0, self.e1 = stage(5, c0, w.blocks[0]), stage(c0, c1, w.blocks[1])
        self.e2, self.e3 = stage(c1, c2, w.blocks[2]), stage(c2, c3, w.blocks[3])
        # The whole face seen at once, cheaply: few channels, all positions.
        self.squeeze = _conv(c3, 32, 1)
        self.code = nn.Linear(32 * 36, w.code)
        self.spread = nn.Linear(w.code, 32 * 36)
        self.expand = nn.Conv2d(32, c3, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)
        self.u3 = _conv(c3, c2, 1, act=False)
        self.d2 = nn.Sequential(*(_Residual(c2) for _ in range(n2)))
        self.u2, self.k1 = _conv(c2, d1, 1, act=False), _conv(c1, d1, 1, act=False)
        self.d1 = nn.Sequential(*(_Residual(d1) for _ in range(n1)))
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
    """Window (B, 3, 192, 192) in 0..1 -> features (B, C, 24, 24), code (B, Q), from the maps of a
    pretrained Face Mesh.

    frozen: its weights are not trained.
    """

    def __init__(self, w: Widths, path: Path, frozen: bool = False) -> None:
        super().__init__()
        self.mesh = FaceMesh(path)
        self.mesh.keep_maps()
        self.mesh.requires_grad_(not frozen)
        _, m1, m2, m3 = WIDTHS
        n2, n1, d1 = w.decoder
        self.squeeze = _conv(m3, 32, 1)
        self.code = nn.Linear(32 * 36, w.code)
        self.spread = nn.Linear(w.code, 32 * 36)
        self.expand = nn.Conv2d(32, m3, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)
        c2 = w.encoder[2]
        self.u3, self.k2 = _conv(m3, c2, 1, act=False), _conv(m2, c2, 1, act=False)
        self.d2 = nn.Sequential(*(_Residual(c2) for _ in range(n2)))
        self.u2, self.k1 = _conv(c2, d1, 1, act=False), _conv(m1, d1, 1, act=False)
        self.d1 = nn.Sequential(*(_Residual(d1) for _ in range(n1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, f1, f2, f3 = self.mesh.maps(x)
        code = fn.relu(self.code(self.squeeze(f3).flatten(1)))
        f3 = fn.relu(f3 + self.expand(fn.relu(self.spread(code)).view(-1, 32, 6, 6)))
        t = self.d2(fn.relu(_up(self.u3(f3)) + self.k2(f2)))
        return self.d1(fn.relu(_up(self.u2(t)) + self.k1(f1))), code


class LandmarkHead(nn.Module):
    """Soft-argmax of a heatmap per landmark; its depth is read where the heat is.

    scale: px per cm of the mean face, where the heat begins.
    """

    prior: Tensor
    gx: Tensor
    gy: Tensor

    def __init__(self, width: int, canonical68: Tensor, scale: float, drop: float) -> None:
        super().__init__()
        self.mix = _conv(width, width)
        self.maps = nn.Conv2d(width, 136, 1)
        nn.init.normal_(self.maps.weight, 0, 0.01)
        assert self.maps.bias is not None
        nn.init.zeros_(self.maps.bias)
        g = ((torch.arange(_MAP) + 0.5) * (CROP / _MAP) - _HALF) / _HALF
        self.register_buffer("gx", g.repeat(_MAP))
        self.register_buffer("gy", g.repeat_interleave(_MAP))
        mean = canonical68 * (scale / _HALF)
        self.maps.bias.data[68:] = mean[:, 2]
        wide = 2 * (24 / _HALF) ** 2
        offset = (self.gx[None] - mean[:, :1]) ** 2 + (self.gy[None] - mean[:, 1:2] - drop) ** 2
        self.bias = nn.Parameter(-offset / wide)

    def forward(self, features: Tensor) -> Tensor:
        """-> maps (B, 136, 24, 24): heat's logarithm and depth, one each per landmark."""
        out: Tensor = self.maps(self.mix(features))
        return out

    def width(self, heat: Tensor, xy: Tensor) -> Tensor:
        """-> (B, 68) standard deviation of heat (B, 68, 24*24) about xy (B, 68, 2); px / 96."""
        second = heat @ (self.gx.square() + self.gy.square())
        return (second - xy.square().sum(-1)).clamp(min=1e-6).sqrt()

    def read(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """-> landmarks (B, 68, 3) in px / 96 from the centre, heat (B, 68, 24*24); float32."""
        maps = maps.float().flatten(2)
        heat = fn.softmax(maps[:, :68] + self.bias, -1)
        z = (heat * maps[:, 68:]).sum(-1)
        return torch.stack([heat @ self.gx, heat @ self.gy, z], -1), heat


class ShapeHead(nn.Module):
    """Coefficients from the face's code, the features at the landmarks and the landmarks
    themselves in the canonical frame."""

    def __init__(self, w: Widths, modes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.local = nn.Linear(68 * w.decoder[2], 96)
        self.hidden = nn.Linear(w.code + 96 + 204, 256)
        self.out = nn.Linear(256, modes)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, code: Tensor, local: Tensor, residual: Tensor) -> Tensor:
        x = torch.cat([code, fn.relu(self.local(local.flatten(1))), residual.flatten(1)], 1)
        x = fn.dropout(x, self.dropout, self.training)
        out: Tensor = self.out(fn.relu(self.hidden(x)))
        return out


class GuidedNet(nn.Module):
    """Crops (B, 3, 192, 192) in 0..1 -> Output, in their frame.

    facemesh: `facemesh.fetch`'s file; the trunk is then that of Face Mesh, and crops are windows
    (`window.Window`). frozen: its weights are not trained.
    """

    mean: Tensor
    modes: Tensor
    canonical68: Tensor
    modes68: Tensor
    mirror: Tensor
    mirror68: Tensor

    def __init__(
        self,
        space: ShapeSpace,
        widths: Widths,
        amp: bool = False,
        dropout: float = 0.0,
        facemesh: Path | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.amp = amp  # bfloat16 in the convolutions; geometry stays float32
        canonical = torch.from_numpy(space.canonical68)
        self.trunk: Trunk | FaceMeshTrunk
        scale, drop = 6.2, 0.07
        if facemesh is None:
            self.trunk = Trunk(widths)
        else:
            self.trunk = FaceMeshTrunk(widths, facemesh, frozen)
            scale, drop = SIDE / (REACH * face_size(canonical)), 0.0
        self.landmarks = LandmarkHead(widths.decoder[2], canonical, scale, drop)
        self.shape = ShapeHead(widths, len(space.modes), dropout)
        self.voxeliser = Voxeliser(space.mean, space.triangles)
        self.register_buffer("mean", torch.from_numpy(space.mean), persistent=False)
        modes = torch.from_numpy(space.modes.reshape(len(space.modes), -1))
        self.register_buffer("modes", modes, persistent=False)
        self.register_buffer("canonical68", canonical, persistent=False)
        modes68 = torch.from_numpy(space.modes[:, space.landmarks].reshape(len(space.modes), -1))
        self.register_buffer("modes68", modes68, persistent=False)
        mirror = torch.from_numpy(space.mirror.T.copy())
        self.register_buffer("mirror", mirror, persistent=False)
        self.register_buffer("mirror68", torch.from_numpy(MIRROR68), persistent=False)

    def forward(self, crops: Tensor) -> Output:
        if self.amp:
            with torch.autocast(crops.device.type, torch.bfloat16):
                features, code = self.trunk(crops)
                maps = self.landmarks(features)
        else:
            features, code = self.trunk(crops)
            maps = self.landmarks(features)
        raw, heat = self.landmarks.read(maps)
        features, code = features.float(), code.float()
        landmarks = raw * _HALF + torch.tensor([_HALF, _HALF, 0.0], device=raw.device)
        r, s, t = umeyama(landmarks, self.canonical68)
        canonical = ((landmarks - t[:, None]) @ r) / s[:, None, None]
        local = heat @ features.flatten(2).transpose(1, 2)
        coefficients = self.shape(code, local, canonical - self.canonical68)
        width = self.landmarks.width(heat, raw[..., :2]) * _HALF
        doubt = torch.stack([width, torch.zeros_like(width)], -1)
        return Output(landmarks, *self._pose(landmarks, coefficients, width), coefficients, doubt)

    def _pose(
        self, landmarks: Tensor, coefficients: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The similarity from the head with these coefficients to its landmarks (B, 68, 3), each
        weighted by the inverse of its heat's variance; width (B, 68) px."""
        own = self.canonical68 + (coefficients @ self.modes68).view(-1, 68, 3)
        return umeyama(landmarks, own, 1 / width.square())

    def both_ways(self, crops: Tensor) -> Output:
        """The mean of what the crops and their mirror images say (twice the trunk's work)."""
        both = self(torch.cat([crops, crops.flip(3)]))
        marks, twins = both.landmarks.chunk(2)
        twins = twins[:, self.mirror68] * torch.tensor([-1.0, 1.0, 1.0], device=crops.device)
        twins = twins + torch.tensor([float(CROP), 0.0, 0.0], device=crops.device)
        landmarks = (marks + twins) / 2
        width, twin_width = both.doubt[..., 0].chunk(2)
        width = (width + twin_width[:, self.mirror68]) / 2
        doubt = torch.stack([width, (marks - twins).square().sum(-1).sqrt()], -1)
        k, twin = both.coefficients.chunk(2)
        k = (k + twin @ self.mirror) / 2
        return Output(landmarks, *self._pose(landmarks, k, width), k, doubt)

    def canonical_vertices(self, coefficients: Tensor) -> Tensor:
        """(B, K) -> (B, N, 3) cm: mean head plus the residual."""
        delta = coefficients @ self.modes
        return self.mean + delta.view(-1, self.mean.shape[0], 3)

    def posed(self, out: Output, bare: bool = False) -> Tensor:
        """(B, N, 3) vertices in px, z about the landmarks' mean; bare: without the residual."""
        v = self.mean[None] if bare else self.canonical_vertices(out.coefficients)
        scaled = out.rotation * out.scale[:, None, None]
        return v @ scaled.transpose(1, 2) + out.translation[:, None]

    def front(self, r: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """(B,): depth of the mean head's nearest point at a pose, px."""
        return ((r[:, 2] @ self.mean.T) * s[:, None] + t[:, 2:]).amin(1)

    def placed(self, out: Output, bare: bool = False) -> tuple[Tensor, Tensor]:
        """Posed vertices moved along z into the volume, and that offset (B, 3): the nearest point
        of the mean head at this pose lies at NEAREST px, unless the head's own came before
        LEAST."""
        vertices = self.posed(out, bare)
        shift = NEAREST - self.front(out.rotation, out.scale, out.translation)
        shift = torch.maximum(shift, LEAST - vertices[..., 2].amin(1))
        offset = torch.stack([torch.zeros_like(shift), torch.zeros_like(shift), shift], 1)
        return vertices + offset[:, None], offset
