"""The guided network: window -> 68 3D landmarks -> pose -> shape -> posed head.

Landmarks come by soft-argmax from heatmaps, a first pose from
them by least squares, and a shape head adds what is this face's own to the mean head: a linear
residual in the modes of the shape space. The pose is then that of this very head, each landmark
weighing as much as its heat is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from protome_export.training.geometry import LEAST, NEAREST, umeyama
from protome_export.training.shape_space import ShapeSpace
from protome_export.training.trunk import FaceMeshTrunk, Widths, conv
from protome_export.training.window import REACH, SIDE, face_size

_MAP = 24  # heatmaps are this large
_HALF = SIDE / 2  # landmarks inside the network are px / 96 from the window's centre


@dataclass
class Reading:
    """What the heads say of a picture.

    Attributes:
        landmarks: (B, 68, 3) px, z about their mean.
        rotation: (B, 3, 3) of the mean head's pose.
        scale: (B,) px per cm of the mean head's pose.
        coefficients: (B, K) of the shape space.
        width: (B, 68) px, standard deviation of the heat.
    """

    landmarks: Tensor
    rotation: Tensor
    scale: Tensor
    coefficients: Tensor
    width: Tensor


@dataclass
class Output:
    """What the network says of a picture.

    Attributes:
        landmarks: (B, 68, 3) px, z about their mean.
        rotation: (B, 3, 3), R of the pose.
        scale: (B,), s of the pose.
        translation: (B, 3), t of the pose.
        coefficients: (B, K) of the shape space.
        width: (B, 68) px, standard deviation of the heat.
        covered: (B, 3), see `CoverNet`; None without one.
    """

    landmarks: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    coefficients: Tensor
    width: Tensor
    covered: Tensor | None = None


class LandmarkHead(nn.Module):
    """Soft-argmax of a heatmap per landmark; its depth is read where the heat is.

    Args:
        width: channels of the features.
        canonical68: landmarks of the mean face, cm.
        scale: px per cm of the mean face, where the heat begins.
    """

    gx: Tensor
    gy: Tensor

    def __init__(self, width: int, canonical68: Tensor, scale: float) -> None:
        super().__init__()
        self.mix = conv(width, width)
        self.maps = nn.Conv2d(width, 136, 1)
        nn.init.normal_(self.maps.weight, 0, 0.01)
        assert self.maps.bias is not None
        nn.init.zeros_(self.maps.bias)
        g = ((torch.arange(_MAP) + 0.5) * (SIDE / _MAP) - _HALF) / _HALF
        self.register_buffer("gx", g.repeat(_MAP))
        self.register_buffer("gy", g.repeat_interleave(_MAP))
        mean = canonical68 * (scale / _HALF)
        self.maps.bias.data[68:] = mean[:, 2]
        wide = 2 * (24 / _HALF) ** 2
        offset = (self.gx[None] - mean[:, :1]) ** 2 + (self.gy[None] - mean[:, 1:2]) ** 2
        self.bias = nn.Parameter(-offset / wide)

    def forward(self, features: Tensor) -> Tensor:
        """-> maps (B, 136, 24, 24): heat's logarithm and depth, one each per landmark."""
        out: Tensor = self.maps(self.mix(features))
        return out

    def read(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read landmarks, heat and its width from the maps, as float32.

        Returns:
            landmarks (B, 68, 3) in px / 96 from the centre, heat (B, 68, 24*24) and its standard
            deviation about them (B, 68), px / 96.
        """
        maps = maps.float().flatten(2)
        heat = fn.softmax(maps[:, :68] + self.bias, -1)
        z = (heat * maps[:, 68:]).sum(-1, keepdim=True)
        moments = torch.stack([self.gx, self.gy, self.gx.square() + self.gy.square()], -1)
        found = heat @ moments
        xy, second = found[..., :2], found[..., 2]
        width = (second - xy.square().sum(-1)).clamp(min=1e-6).sqrt()
        return torch.cat([xy, z], -1), heat, width


class ShapeHead(nn.Module):
    """Predict the coefficients of the shape space.

    Inputs are the face's code, the features at the landmarks and the landmarks themselves in the
    canonical frame.
    """

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
    """Map windows (B, 3, 192, 192) in 0..1 (`window.Window`) to an `Output` in their frame.

    Args:
        space: the shape space.
        widths: of the decoder.
        facemesh: Face Mesh's file, as `tflite.fetch` wrote it.
        frozen: whether its weights are not trained.
        amp: bfloat16 in the convolutions; geometry stays float32.
        dropout: of the shape head's input.
    """

    mean: Tensor
    modes: Tensor
    canonical68: Tensor
    modes68: Tensor

    def __init__(
        self,
        space: ShapeSpace,
        widths: Widths,
        facemesh: Path,
        frozen: bool = False,
        amp: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.amp = amp
        canonical = torch.from_numpy(space.canonical68)
        self.trunk = FaceMeshTrunk(widths, facemesh, frozen)
        scale = SIDE / (REACH * face_size(canonical))
        self.landmarks = LandmarkHead(widths.decoder[2], canonical, scale)
        self.shape = ShapeHead(widths, len(space.modes), dropout)
        self.register_buffer("mean", torch.from_numpy(space.mean), persistent=False)
        modes = torch.from_numpy(space.modes.reshape(len(space.modes), -1))
        self.register_buffer("modes", modes, persistent=False)
        self.register_buffer("canonical68", canonical, persistent=False)
        modes68 = torch.from_numpy(space.modes[:, space.landmarks].reshape(len(space.modes), -1))
        self.register_buffer("modes68", modes68, persistent=False)

    def forward(self, windows: Tensor) -> Output:
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=self.amp):
            own = self.read(*self.trunk(windows))
        with torch.autocast(windows.device.type, enabled=False):
            pose = self.pose(own.landmarks, own.coefficients, own.width)
        return Output(own.landmarks, *pose, own.coefficients, own.width)

    def _in_window(self, raw: Tensor) -> Tensor:
        return raw * _HALF + torch.tensor([_HALF, _HALF, 0.0], device=raw.device)

    def read(self, features: Tensor, code: Tensor) -> Reading:
        """Apply the heads to a trunk's features (B, C, 24, 24) and code (B, Q)."""
        raw, heat, width = self.landmarks.read(self.landmarks(features))
        # Geometry is float32 whatever the convolutions are.
        with torch.autocast(raw.device.type, enabled=False):
            features, code = features.float(), code.float()
            landmarks = self._in_window(raw)
            r, s, t = umeyama(landmarks, self.canonical68)
            canonical = ((landmarks - t[:, None]) @ r) / s[:, None, None]
            local = heat @ features.flatten(2).transpose(1, 2)
            coefficients = self.shape(code, local, canonical - self.canonical68)
            return Reading(landmarks, r, s, coefficients, width * _HALF)

    def pose(
        self, landmarks: Tensor, coefficients: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fit the similarity from the head with these coefficients to its landmarks (B, 68, 3).

        Each is weighted by the inverse of its heat's variance; width (B, 68) px.
        """
        own = self.canonical68 + (coefficients @ self.modes68).view(-1, 68, 3)
        return umeyama(landmarks, own, 1 / width.square())

    @property
    def vertex_count(self) -> int:
        """Return the number of the head's vertices, N."""
        return int(self.mean.shape[0])

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
        """Move posed vertices along z into the crop's volume; return them and that offset (B, 3).

        The nearest point of the mean head at this pose lies at NEAREST px, unless the head's own
        came before LEAST.
        """
        vertices = self.posed(out, bare)
        shift = NEAREST - self.front(out.rotation, out.scale, out.translation)
        shift = torch.maximum(shift, LEAST - vertices[..., 2].amin(1))
        offset = torch.stack([torch.zeros_like(shift), torch.zeros_like(shift), shift], 1)
        return vertices + offset[:, None], offset
