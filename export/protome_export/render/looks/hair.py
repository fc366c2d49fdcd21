"""Draw hair, hats and hoods as a shell around the skull with an alpha map."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.heads.model import FACE, HEAD, HeadModel, Ints
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import gaussian, resample, shrinking
from protome_export.render.drawing.random_draws import Dice

from .hair_style import Style, draw_colour, draw_hairline, draw_style, draw_texture

_COLUMNS, _ROWS, _HANGING = 72, 30, 16
_LOWEST = -30.0  # elevation where the hanging part begins, degrees
_ALPHA = 4  # alpha rows per shell row
_AZIMUTHS = 256
_ROOTS = 1.5  # cm that hair is taken to reach into the skull


@dataclass
class Hair:
    """Hair of B heads. Rows and columns of maps are those of the shell: elevation and azimuth.

    Attributes:
        vertices: (B, N, 3) cm, head frame.
        inner: (B, N, 3) cm, head frame: where the hair below each vertex ends, inside the skull or
            behind a hanging strand.
        alpha: (B, A, 256).
        texture: (B, 3, A, 256).
        shown: (B, T) triangles that are not fully transparent.
        line: (B, 256) elevation of the hairline, degrees.
        colour: (B, 3) linear RGB.
        others: (B,).
    """

    vertices: Tensor
    inner: Tensor
    alpha: Tensor
    texture: Tensor
    shown: Tensor
    line: Tensor
    colour: Tensor
    covers: Tensor
    bald: Tensor
    hat: Tensor
    long: Tensor


def _fixed_blur(size: int, sigma: float, device: torch.device) -> Tensor:
    return gaussian(size, torch.tensor([sigma], device=device))[0]


class HairShell:
    """Geometry of the shell for one head model; directions, radii and grids as tensors.

    Attributes:
        shape: rows and columns of its vertices.
        skull_rows: how many of the rows lie on the skull; the others hang.
    """

    shape = (_ROWS + _HANGING, _COLUMNS + 1)
    skull_rows = _ROWS

    def __init__(self, head: HeadModel, device: torch.device) -> None:
        ears = head.landmarks_neutral[[0, 16]].mean(0)
        self.origin = np.array([0, ears[1] + 0.3, ears[2] - 2.66], np.float32)
        azimuth = np.linspace(-np.pi, np.pi, _COLUMNS + 1).astype(np.float32)
        elevation = np.deg2rad(np.linspace(88, _LOWEST, _ROWS)).astype(np.float32)
        el, az = elevation[:, None], azimuth[None]
        directions = np.stack(
            [np.cos(el) * np.sin(az), np.sin(el) * np.ones_like(az), np.cos(el) * np.cos(az)], -1
        ).astype(np.float32)
        p = head.neutral
        ear = (np.abs(p[:, 0]) > 7.75) & (np.abs(p[:, 1] - ears[1] + 3) < 4.6)
        skull = np.flatnonzero(np.isin(head.part, (FACE, HEAD)) & ~(ear & (p[:, 2] < ears[2] + 1)))
        offset = p[skull] - self.origin
        radius = np.linalg.norm(offset, axis=1)
        cosine = directions.reshape(-1, 3) @ (offset / radius[:, None]).T
        near = np.where(cosine > np.cos(np.deg2rad(7)), radius[None], 0).max(1)
        near = near.reshape(_ROWS, _COLUMNS + 1)[:, :-1]
        near = np.where(near > 0, near, near.max())
        smooth = cv2.GaussianBlur(np.concatenate([near] * 3, 1), (0, 0), 1.2)
        base = self.origin + directions * smooth[:, _COLUMNS : 2 * _COLUMNS + 1, None]

        def tensor(x: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(x)).to(device)

        nearest = skull[cosine.argmax(1)]
        self.nearest, self.neutral = tensor(nearest), tensor(p[nearest].astype(np.float32))
        self.base, self.directions = tensor(base.astype(np.float32)), tensor(directions)
        self.centre, self.azimuth = tensor(self.origin), tensor(azimuth)
        self.elevation = tensor(elevation)
        below = _LOWEST - 4 * np.arange(1, _HANGING + 1, dtype=np.float32)
        self.row_elevation = torch.cat([torch.rad2deg(self.elevation), tensor(below)])
        self.blurs = (
            _fixed_blur(_ROWS, 1.0, device), _fixed_blur(_COLUMNS + 1, 1.0, device),
            _fixed_blur(_ROWS + _HANGING, 1.5, device), _fixed_blur(_COLUMNS + 1, 1.5, device),
        )  # fmt: skip
        self._grid(device)

    def _grid(self, device: torch.device) -> None:
        rows = _ROWS + _HANGING
        grid = np.arange(rows * (_COLUMNS + 1)).reshape(rows, _COLUMNS + 1)
        a, b, c, d = (
            g.ravel() for g in (grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:])
        )
        self.triangles: Ints = np.concatenate(
            [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
        ).astype(np.int32)
        self.corners = torch.from_numpy(self.triangles.astype(np.int64)).to(device)
        u = np.broadcast_to(np.arange(_COLUMNS + 1) / _COLUMNS, (rows, _COLUMNS + 1)).ravel()
        v = np.broadcast_to((np.arange(rows) / (rows - 1))[:, None], (rows, _COLUMNS + 1)).ravel()
        self.uv = np.stack([u, v], 1).astype(np.float32)
        self.coarse = (
            shrinking(rows * _ALPHA, rows, device),
            shrinking(_AZIMUTHS, _COLUMNS + 1, device),
        )

    def sample(
        self, dice: Dice, noise: NoiseBank, vertices: Tensor, old: Tensor | None = None
    ) -> Hair:
        """Draw hair for heads with vertices (B, V, 3) cm, head frame."""
        style = draw_style(dice)
        hat = style.hat
        colour = draw_colour(dice, old)
        points, inner = self._shell(dice, noise, vertices, style)
        azimuth = torch.linspace(-180, 180, _AZIMUTHS, device=dice.device)
        line = draw_hairline(dice, azimuth, style)
        brim = self._brim(dice, line) * (hat & dice.chance(0.7))[:, None, None]
        push = self.directions * torch.tensor([1, 0.1, 1], device=dice.device)
        points[:, :_ROWS] += push * brim[..., None]
        medium = noise.draw(dice, "medium", 64)
        uneven = medium[:, 0] * dice.uniform(0.2, 5)[:, None]
        line = torch.where(hat[:, None], line, line + uneven)
        rows = len(self.row_elevation) * _ALPHA
        size = (rows, _AZIMUTHS)
        streak = noise.draw(dice, "fine", 8)[:, None]
        streak = fn.interpolate(streak, size, mode="bicubic")[:, 0]
        waves = fn.interpolate(medium[:, None], size, mode="bilinear")[:, 0]
        texture = draw_texture(dice, hat, colour, streak, waves)
        alpha = self._alpha(dice, style, line, azimuth, streak)
        air = resample(alpha, *self.coarse).flatten(1)
        shown = (air[:, self.corners].amax(2) > -6) & style.covers[:, None]
        return Hair(points.flatten(1, 2), inner.flatten(1, 2), alpha.contiguous(), texture, shown,
                    line, colour, style.covers, style.bald, hat, style.long)  # fmt: skip

    def _alpha(
        self,
        dice: Dice,
        style: Style,
        line: Tensor,
        azimuth: Tensor,
        streak: Tensor,
    ) -> Tensor:
        rows = len(self.row_elevation) * _ALPHA
        elevation = fn.interpolate(
            self.row_elevation[None, None], rows, mode="linear", align_corners=True
        )[0].transpose(0, 1)
        alpha = elevation - line[:, None]
        crown = 8 * (azimuth.abs() - 60).clamp(0, 60) / 60
        top = dice.uniform(20, 50)[:, None, None] + crown - elevation
        alpha = torch.where(style.bald[:, None, None], torch.minimum(alpha, top), alpha)
        rough = (dice.uniform(0, 6) * ~style.hat)[:, None, None]
        alpha = alpha + streak * rough
        tips = elevation - (_LOWEST - 4 * _HANGING) + streak * 8
        return torch.where(style.long[:, None, None], torch.minimum(alpha, tips), alpha)

    def _shell(
        self, dice: Dice, noise: NoiseBank, vertices: Tensor, style: Style
    ) -> tuple[Tensor, Tensor]:
        """Return the shell and where the hair below it ends, (B, rows, columns, 3) cm each."""
        n = len(dice)
        thick = torch.where(style.hat, dice.uniform(0.6, 1.8), dice.uniform(0.15, 2.6))
        thick = torch.where(style.afro, dice.uniform(2.2, 7.5), thick)
        thick = torch.where(style.full, 1.5 + 8 * dice.uniform().square(), thick)
        # Full hair is often combed or blown to one side.
        swept = torch.sin(self.azimuth) * (dice.uniform(-0.8, 0.8) * style.full)[:, None]
        bumps = noise.draw(dice, "smooth", _ROWS + _HANGING, _COLUMNS + 1)
        bumps = resample(bumps * dice.uniform(0.05, 0.5)[:, None, None], *self.blurs[2:])
        bumps = bumps * thick.clamp(max=1.2)[:, None, None]
        bumps[..., -1] = bumps[..., 0]
        moved = (vertices[:, self.nearest] - self.neutral).view(n, _ROWS, _COLUMNS + 1, 3)
        moved = resample(moved.permute(0, 3, 1, 2), self.blurs[0], self.blurs[1])
        skull = self.base + moved.permute(0, 2, 3, 1)
        top = torch.sin(self.elevation).clamp(0, 1) * dice.uniform(0, 2)[:, None]
        top = top * ((thick > 0.5) & ~style.afro)[:, None]
        out = (thick[:, None] * self._profile(dice, style))[..., None] * (1 + swept)[:, None]
        out = out + top[..., None] + bumps[:, :_ROWS]
        out = out + self._knots(dice, style)
        shell = skull + self.directions * out[..., None]
        length = torch.where(style.long, dice.uniform(3, 22), dice.uniform(0.5, 4))[:, None]
        last = shell[:, -1]
        out = (last - self.centre) * torch.tensor([1.0, 0.0, 1.0], device=dice.device)
        out = out / (out.norm(dim=-1, keepdim=True) + 1e-6)
        fall = torch.arange(1, _HANGING + 1, device=dice.device) / _HANGING
        spread = dice.normal(0.08, 0.15) + dice.uniform(0, 0.5) * style.full
        spread = spread[:, None] * fall * length
        spread = (spread + 0.6 * bumps[:, _ROWS:].mean(2))[..., None] + bumps[:, _ROWS:]
        spread = spread + (fall * length)[..., None] * (0.4 * swept)[:, None]
        low = last[:, None] + out[:, None] * spread[..., None]
        low[..., 1] -= (fall * length)[..., None]
        swing = dice.uniform(-1, 2) * style.long
        low[..., 2] += torch.sin(self.azimuth).abs() * (fall * swing[:, None])[..., None]
        # A curtain beside the face is a strand; behind the head it reaches to the neck.
        behind = torch.sigmoid((torch.rad2deg(self.azimuth).abs() - 105) / 8)
        strand = torch.where(style.full, 1.5 + 0.7 * thick, dice.uniform(1.5, 3.0))[:, None]
        depth = strand + (7.0 - strand) * behind
        under = low - (out * depth[..., None])[:, None]
        inside = torch.cat([skull - _ROOTS * self.directions, under], 1)
        return torch.cat([shell, low], 1), inside

    def _profile(self, dice: Dice, style: Style) -> Tensor:
        """Return the share of the thickness at each row of the skull, (B, rows)."""
        elevation = torch.rad2deg(self.elevation)
        edge = dice.uniform(5, 40)[:, None]
        sides = dice.uniform(0.05, 0.3)[:, None]
        faded = sides + (1 - sides) * torch.sigmoid((elevation - edge) / 5)
        round_ = 0.35 + 0.65 * ((elevation + 30) / 40).clamp(0, 1)
        # From the crown to the ears.
        hanging = 1 - torch.sin(self.elevation).clamp(0, 1) * dice.uniform(0.4, 0.9)[:, None]
        share = torch.where(style.faded[:, None], faded, torch.ones_like(faded))
        share = torch.where(style.full[:, None], hanging, share)
        return torch.where(style.afro[:, None], round_.expand_as(share), share)

    def _knots(self, dice: Dice, style: Style) -> Tensor:
        """Return how far buns stand out, (B, rows, columns) cm.

        There is one at the back or on top, or one on each side.
        """
        two = dice.chance(0.2)
        azimuth = torch.where(two, dice.uniform(85, 130), dice.normal(180, 15))
        elevation = torch.where(two, dice.uniform(5, 50), dice.uniform(0, 84))
        a, e = torch.deg2rad(azimuth), torch.deg2rad(elevation)
        axis = torch.stack(
            [torch.cos(e) * torch.sin(a), torch.sin(e), torch.cos(e) * torch.cos(a)], 1
        )
        height = dice.uniform(2.5, 6) * style.bun
        width = torch.deg2rad(dice.uniform(13, 24))
        twin = axis * torch.tensor([-1.0, 1.0, 1.0], device=axis.device)
        near = torch.maximum(
            torch.einsum("rck,bk->brc", self.directions, axis),
            torch.where(two[:, None, None], torch.einsum("rck,bk->brc", self.directions, twin), -1),
        )
        angle = torch.arccos(near.clamp(-1, 1)) / width[:, None, None]
        return height[:, None, None] * (1 - angle.square()).clamp(min=0).sqrt()

    def _brim(self, dice: Dice, line: Tensor) -> Tensor:
        """Return how far a brim stands out, (B, rows, columns) cm."""
        columns = torch.rad2deg(self.azimuth)
        edge = fn.interpolate(line[:, None], _COLUMNS + 1, mode="linear", align_corners=True)
        gap = self.row_elevation[:_ROWS, None] - edge
        weight = (1 - gap / 8).clamp(0, 1) * (gap > -9)
        fade = (1 - columns.abs() / dice.uniform(55, 110)[:, None]).clamp(0, 1)
        return weight * fade[:, None] * dice.uniform(3, 7)[:, None, None]

    def seen_from(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return azimuth and elevation, degrees, of points (..., 3) cm from the shell's centre."""
        p = points - self.origin
        azimuth = np.rad2deg(np.arctan2(p[..., 0], p[..., 2]))
        return azimuth, np.rad2deg(np.arctan2(p[..., 1], np.hypot(p[..., 0], p[..., 2])))
