"""Deferred shading of G-buffer fragments in tensor code: texture, light, shadow, highlight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .headmodel import Floats
from .surfaces import BACK_SKIN, EYEBALL, FLESH, FRAME, HAIR, LASH, SKIN, SOCKET, TOOTH


@dataclass
class Materials:
    """Albedos, linear RGB. Textures (H, W, 3); the rest (3,). iris_radius, pupil_radius in cm."""

    face: Floats
    back: Floats
    hair: Floats
    flesh: Floats
    tooth: Floats
    socket: Floats
    lash: Floats
    frame: Floats
    sclera: Floats
    iris: Floats
    cloth: Floats
    iris_radius: float
    pupil_radius: float
    shine: float
    collar: float


@dataclass
class Lights:
    """harmonics (9, 3) irradiance in the camera frame (y up); direction (3,) and colour (3,) of
    the hard light; wrap softens its terminator; shadow (S, S) depth map with matrix (3, 4) from
    G-buffer (x, y, z) to shadow (column, row, depth), empty without a shadow."""

    harmonics: Floats
    direction: Floats
    colour: Floats
    wrap: float
    shadow: Floats
    matrix: Floats
    bias: float


def _sample(texture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Bilinear lookup, v up, clamped at the border: (H, W, 3) at (P,) -> (P, 3)."""
    h, w = texture.shape[:2]
    x = (u * w - 0.5).clamp(0, w - 1.001)
    y = ((1 - v) * h - 0.5).clamp(0, h - 1.001)
    x0, y0 = x.long(), y.long()
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    flat = texture.reshape(-1, 3)
    at = y0 * w + x0
    top = torch.lerp(flat[at], flat[at + 1], fx)
    low = torch.lerp(flat[at + w], flat[at + w + 1], fx)
    return torch.lerp(top, low, fy)


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _albedo(kind: Tensor, uv: Tensor, m: Materials) -> Tensor:
    flat = np.zeros((9, 3), np.float32)
    for index, colour in (
        (FLESH, m.flesh), (TOOTH, m.tooth), (SOCKET, m.socket), (LASH, m.lash), (FRAME, m.frame),
    ):  # fmt: skip
        flat[index] = colour
    out = torch.from_numpy(flat)[kind]
    for index, texture in ((SKIN, m.face), (BACK_SKIN, m.back), (HAIR, m.hair)):
        at = torch.nonzero(kind == index)[:, 0]
        if len(at):
            u, v = uv[at, 0], uv[at, 1]
            v = 1 - v if index == HAIR else v
            out[at] = _sample(torch.from_numpy(texture), u, v)
    at = torch.nonzero(kind == EYEBALL)[:, 0]
    if len(at):
        r = uv[at].norm(dim=1)[:, None]
        iris, sclera = torch.from_numpy(m.iris), torch.from_numpy(m.sclera)
        ring = 1 - 0.5 * _smooth((r - m.iris_radius + 0.15) / 0.15)
        mixed = torch.lerp(iris * ring, sclera.expand(len(at), 3),
                            _smooth((r - m.iris_radius + 0.04) / 0.08))  # fmt: skip
        out[at] = mixed * (0.02 + 0.98 * _smooth((r - m.pupil_radius + 0.03) / 0.06))
    return out


def _shadow(position: Tensor, lights: Lights) -> Tensor:
    size = lights.shadow.shape[0]
    m = torch.from_numpy(lights.matrix)
    q = position @ m[:, :3].T + m[:, 3]
    column = q[:, 0].long().clamp(1, size - 2)
    row = q[:, 1].long().clamp(1, size - 2)
    depth, at = torch.from_numpy(lights.shadow).reshape(-1), row * size + column
    limit = q[:, 2] + lights.bias
    lit = sum((depth[at + o] <= limit).float() for o in (0, -1, 1, -size, size))
    return torch.as_tensor(lit) / 5


def shade(
    kind: Tensor,
    uv: Tensor,
    normal: Tensor,
    ao: Tensor,
    height: Tensor,
    position: Tensor,
    materials: Materials,
    lights: Lights,
) -> Tensor:
    """Outgoing light (P, 3), linear RGB, of P fragments.

    kind (P,) surface; uv (P, 2); normal (P, 3) unit, camera frame; ao (P,); height (P,) head
    frame y in cm (clothes begin below the collar); position (P, 3) G-buffer x, y, z.
    """
    albedo = _albedo(kind, uv, materials)
    dressed = (height < materials.collar) & (kind <= BACK_SKIN)
    albedo = torch.where(dressed[:, None], torch.from_numpy(materials.cloth), albedo)
    away = (normal[:, 2] < 0) & (kind >= LASH)
    normal = torch.where(away[:, None], -normal, normal)
    ao = torch.where(kind == EYEBALL, ao.clamp(min=0.55), ao)
    x, y, z = normal.unbind(1)
    terms = [torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1]
    ambient = torch.stack(terms, 1) @ torch.from_numpy(lights.harmonics)
    light = ambient.clamp(min=0.02) * ao[:, None]
    direction = torch.from_numpy(lights.direction)
    facing = (normal @ direction + lights.wrap).clamp(min=0) / (1 + lights.wrap)
    if lights.shadow.size:
        facing = facing * _shadow(position, lights)
    colour = torch.from_numpy(lights.colour)
    light = light + facing[:, None] * colour
    half = direction + torch.tensor([0.0, 0.0, 1.0])
    glint = (normal @ (half / half.norm())).clamp(min=0) ** 24 * (facing > 0)
    shine = torch.full_like(glint, materials.shine)
    shine = torch.where(kind == EYEBALL, torch.full_like(shine, 0.5), shine)
    shine = torch.where(kind == HAIR, shine * 0.4, shine).masked_fill(dressed, 0)
    out: Tensor = albedo * light + (shine * glint)[:, None] * colour
    return out
