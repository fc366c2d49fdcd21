"""Shade G-buffer fragments in tensor code: texture, light, shadow, highlight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protome_export.render.drawing.paint import blended

from .surfaces import BACK_SKIN, EYEBALL, FLESH, FRAME, HAIR, LASH, SKIN, SOCKET, TOOTH


@dataclass
class Materials:
    """Albedos of B heads, linear RGB: textures (B, 3, H, W), colours (B, 3), other attributes (B,).

    Radii are in cm; clothes begin below ``collar``, head-frame y in cm.
    """

    face: Tensor
    back: Tensor
    hair: Tensor
    flesh: Tensor
    tooth: Tensor
    socket: Tensor
    lash: Tensor
    frame: Tensor
    sclera: Tensor
    iris: Tensor
    cloth: Tensor
    iris_radius: Tensor
    pupil_radius: Tensor
    shine: Tensor
    collar: Tensor


@dataclass
class Lights:
    """Lights of B heads.

    Attributes:
        harmonics: (B, 9, 3) irradiance, camera frame (y up).
        direction, colour: (B, 3) of the hard light.
        wrap: (B,) softness of its terminator.
        shadow: (M, S, S) depth maps.
        slot: (B,) index of the head's depth map; -1 if it has none.
        matrix: (B, 3, 4) from G-buffer (x, y, z) to shadow map (column, row, depth).
        eye: (B, 3) direction to who looks, camera frame; None: the camera.
    """

    harmonics: Tensor
    direction: Tensor
    colour: Tensor
    wrap: Tensor
    shadow: Tensor
    slot: Tensor
    matrix: Tensor
    bias: float
    eye: Tensor | None = None


@dataclass
class Fragments:
    """P fragments, grouped by head.

    Attributes:
        head: (P,) index of the head.
        count: fragments of each head.
        kind: (P,) kind of surface.
        uv: (P, 2).
        normal: (P, 3) unit, camera frame.
        ao: (P,) ambient occlusion.
        height: (P,) head-frame y, cm.
        position: (P, 3) G-buffer x, y, z.
    """

    head: Tensor
    count: list[int]
    kind: Tensor
    uv: Tensor
    normal: Tensor
    ao: Tensor
    height: Tensor
    position: Tensor


def _sample(texture: Tensor, head: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Look up texture (B, 3, H, W) at (P,), bilinear, v up, clamped; return (P, 3)."""
    h, w = texture.shape[2:]
    x = (u * w - 0.5).clamp(0, w - 1.001)
    y = ((1 - v) * h - 0.5).clamp(0, h - 1.001)
    fx, fy = x % 1, y % 1
    at = (head * h + y.long()) * w + x.long()
    index = torch.stack([at, at + 1, at + w, at + w + 1], 1)
    weights = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], 1)
    return blended(texture.permute(0, 2, 3, 1).reshape(-1, 3), index, weights)


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _eyes(head: Tensor, uv: Tensor, m: Materials) -> Tensor:
    r = uv.norm(dim=1)
    iris, pupil = m.iris_radius[head], m.pupil_radius[head]
    ring = 1 - 0.5 * _smooth((r - iris + 0.15) / 0.15)
    white = _smooth((r - iris + 0.04) / 0.08)[:, None]
    mixed = torch.lerp(m.iris[head] * ring[:, None], m.sclera[head], white)
    return mixed * (0.02 + 0.98 * _smooth((r - pupil + 0.03) / 0.06))[:, None]


def _albedo(f: Fragments, m: Materials) -> Tensor:
    flat = torch.zeros(len(m.lash), 9, 3, device=f.kind.device)
    for index, colour in (
        (FLESH, m.flesh), (TOOTH, m.tooth), (SOCKET, m.socket), (LASH, m.lash), (FRAME, m.frame),
    ):  # fmt: skip
        flat[:, index] = colour
    out = flat.view(-1, 3)[f.head * 9 + f.kind]
    for index, texture in ((SKIN, m.face), (BACK_SKIN, m.back), (HAIR, m.hair)):
        at = torch.nonzero(f.kind == index)[:, 0]
        u, v = f.uv[at].unbind(1)
        out[at] = _sample(texture, f.head[at], u, 1 - v if index == HAIR else v)
    at = torch.nonzero(f.kind == EYEBALL)[:, 0]
    out[at] = _eyes(f.head[at], f.uv[at], m)
    return out


def _each(rows: Tensor, count: list[int], matrices: Tensor) -> Tensor:
    """Multiply rows (P, J), grouped by head, by their head's matrix (B, J, K)."""
    parts, start = [], 0
    for length, matrix in zip(count, matrices, strict=True):
        parts.append(rows[start : start + length] @ matrix)
        start += length
    return torch.cat(parts)


def _lit(f: Fragments, lights: Lights) -> Tensor:
    """Return the part of the hard light that is not in shadow, (P,)."""
    if not len(lights.shadow):
        return torch.ones_like(f.ao)
    size, m = lights.shadow.shape[1], lights.matrix
    q = _each(f.position, f.count, m[:, :, :3].transpose(1, 2)) + m[:, :, 3][f.head]
    column = q[:, 0].long().clamp(1, size - 2)
    row = q[:, 1].long().clamp(1, size - 2)
    slot = lights.slot[f.head]
    depth, place = lights.shadow.reshape(-1), (slot.clamp(min=0) * size + row) * size + column
    limit = q[:, 2] + lights.bias
    lit = torch.zeros_like(limit)
    for o in (0, -1, 1, -size, size):
        lit += depth[place + o] <= limit
    return torch.where(slot >= 0, lit / 5, 1.0)


def shade(f: Fragments, materials: Materials, lights: Lights) -> Tensor:
    """Return the outgoing light of fragments, (P, 3) linear RGB."""
    head, kind = f.head, f.kind
    albedo = _albedo(f, materials)
    dressed = (f.height < materials.collar[head]) & (kind <= BACK_SKIN)
    albedo = torch.where(dressed[:, None], materials.cloth[head], albedo)
    eye = lights.eye
    if eye is None:
        eye = torch.tensor([0.0, 0.0, 1.0], device=head.device).expand_as(lights.direction)
    away = ((f.normal * eye[head]).sum(1) < 0) & (kind >= LASH)
    normal = torch.where(away[:, None], -f.normal, f.normal)
    ao = torch.where(kind == EYEBALL, f.ao.clamp(min=0.55), f.ao)
    x, y, z = normal.unbind(1)
    rows = [torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1]
    ambient = _each(torch.stack(rows, 1), f.count, lights.harmonics)
    light = ambient.clamp(min=0.02) * ao[:, None]
    direction, wrap = lights.direction[head], lights.wrap[head]
    facing = ((normal * direction).sum(1) + wrap).clamp(min=0) / (1 + wrap)
    facing = facing * _lit(f, lights)
    colour = lights.colour[head]
    light = light + facing[:, None] * colour
    half = lights.direction + eye
    half = (half / half.norm(dim=1, keepdim=True))[head]
    glint = (normal * half).sum(1).clamp(min=0) ** 24 * (facing > 0)
    shine = materials.shine[head]
    shine = torch.where(kind == EYEBALL, 0.5, shine)
    shine = torch.where(kind == HAIR, shine * 0.4, shine).masked_fill(dressed, 0)
    out: Tensor = albedo * light + (shine * glint)[:, None] * colour
    return out
