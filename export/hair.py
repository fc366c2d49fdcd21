"""Hair, hats and hoods as a shell around the skull with an alpha map."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .assets import to_linear
from .headmodel import FACE, HEAD, Floats, HeadModel, Ints
from .noise import NoiseBank

_COLUMNS, _ROWS, _HANGING = 72, 30, 16
_LOWEST = -30.0  # elevation where the hanging part begins, degrees
_ALPHA = 4  # alpha rows per shell row

COLOURS = np.array(
    [[.05, .04, .04], [.10, .07, .05], [.18, .11, .07], [.30, .19, .11], [.45, .31, .18],
     [.65, .50, .30], [.80, .68, .48], [.50, .22, .10], [.55, .54, .53], [.85, .84, .83],
     [.35, .34, .33]], np.float32)  # fmt: skip


@dataclass
class Hair:
    """One head of hair: vertices (N, 3) cm, alpha and texture in the shell's (row, azimuth)
    layout; line: hairline elevation in degrees at 256 azimuths; colour linear RGB."""

    vertices: Floats
    alpha: Floats
    texture: Floats
    line: Floats
    colour: Floats
    covers: bool
    bald: bool
    hat: bool
    long: bool


class HairShell:
    """The shell's fixed geometry for one head model."""

    def __init__(self, head: HeadModel) -> None:
        ears = head.landmarks_neutral[[0, 16]].mean(0)
        self.centre = np.array([0, ears[1] + 0.3, ears[2] - 2.66], np.float32)
        self.azimuth = np.linspace(-np.pi, np.pi, _COLUMNS + 1).astype(np.float32)
        self.elevation = np.deg2rad(np.linspace(88, _LOWEST, _ROWS)).astype(np.float32)
        el, az = self.elevation[:, None], self.azimuth[None]
        self.directions = np.stack(
            [np.cos(el) * np.sin(az), np.sin(el) * np.ones_like(az), np.cos(el) * np.cos(az)], -1
        ).astype(np.float32)
        p = head.neutral
        ear = (np.abs(p[:, 0]) > 7.75) & (np.abs(p[:, 1] - ears[1] + 3) < 4.6)
        skull = np.flatnonzero(np.isin(head.part, (FACE, HEAD)) & ~(ear & (p[:, 2] < ears[2] + 1)))
        offset = p[skull] - self.centre
        radius = np.linalg.norm(offset, axis=1)
        cosine = self.directions.reshape(-1, 3) @ (offset / radius[:, None]).T
        near = np.where(cosine > np.cos(np.deg2rad(7)), radius[None], 0).max(1)
        near = near.reshape(_ROWS, _COLUMNS + 1)[:, :-1]
        near = np.where(near > 0, near, near.max())
        smooth = cv2.GaussianBlur(np.concatenate([near] * 3, 1), (0, 0), 1.2)
        self.radius = smooth[:, _COLUMNS : 2 * _COLUMNS + 1].astype(np.float32)
        self.nearest = skull[cosine.argmax(1)]
        self.base = (self.centre + self.directions * self.radius[..., None]).astype(np.float32)

        rows = _ROWS + _HANGING
        grid = np.arange(rows * (_COLUMNS + 1)).reshape(rows, _COLUMNS + 1)
        a, b, c, d = (
            g.ravel() for g in (grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:])
        )
        self.triangles: Ints = np.concatenate(
            [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
        ).astype(np.int32)
        u = np.broadcast_to(np.arange(_COLUMNS + 1) / _COLUMNS, (rows, _COLUMNS + 1)).ravel()
        v = np.broadcast_to((np.arange(rows) / (rows - 1))[:, None], (rows, _COLUMNS + 1)).ravel()
        self.uv = np.stack([u, v], 1).astype(np.float32)
        below = _LOWEST - 4 * np.arange(1, _HANGING + 1)
        self.row_elevation = np.concatenate([np.rad2deg(self.elevation), below])

    def sample(
        self, rng: np.random.Generator, noise: NoiseBank, neutral: Floats, vertices: Floats
    ) -> Hair:
        """Draws hair for a head; neutral and vertices (V, 3) are before and after shaping."""
        covers = rng.random() < 0.86
        hat = covers and rng.random() < 0.13
        long = covers and (not hat or rng.random() < 0.3) and rng.random() < 0.45
        bald = covers and not hat and rng.random() < 0.1
        tone = COLOURS[rng.integers(len(COLOURS))] * rng.uniform(0.6, 1.3)
        colour = to_linear(np.clip(tone + rng.normal(0, 0.02, 3), 0.02, 0.95))
        points = self._shell(rng, noise, neutral, vertices, hat, long)
        azimuth = np.linspace(-180, 180, 256)
        line = self._hairline(rng, azimuth, hat, long)
        if hat and rng.random() < 0.7:
            self._brim(rng, points, azimuth, line)
        medium = noise.draw(rng, "medium")
        line = line + medium[0] * rng.uniform(0.2, 5) * (0.0 if hat else 1.0)
        rows = len(self.row_elevation) * _ALPHA
        streak = cv2.resize(noise.draw(rng, "fine")[:8], (256, rows), interpolation=cv2.INTER_CUBIC)
        stretched = cv2.resize(medium[:64], (256, rows), interpolation=cv2.INTER_LINEAR)
        if hat:
            cloth = to_linear(rng.random(3) if rng.random() < 0.6 else np.ones(3) * rng.random())
            texture = (1 + 0.12 * stretched).clip(0.2, 2)[..., None] * cloth
            if rng.random() < 0.4:
                texture[60:72] = to_linear(rng.random(3))
        else:
            texture = (0.85 + 0.28 * streak + 0.22 * stretched).clip(0.15, 2.2)[..., None] * colour
        count = len(self.row_elevation)
        elevation = np.interp(np.linspace(0, count - 1, rows), np.arange(count), self.row_elevation)
        alpha = elevation[:, None] - line[None]
        if bald:
            top = rng.uniform(20, 50) + 8 * np.clip(np.abs(azimuth) - 60, 0, 60)[None] / 60
            alpha = np.minimum(alpha, top - elevation[:, None])
        if not hat:
            alpha = alpha + streak * rng.uniform(0, 6)
        if long:
            tips = elevation[:, None] - (_LOWEST - 4 * _HANGING) + streak * 8
            alpha = np.minimum(alpha, tips)
        return Hair(
            points.reshape(-1, 3),
            np.ascontiguousarray(alpha, np.float32),
            np.ascontiguousarray(texture, np.float32),
            line.astype(np.float32),
            colour,
            covers,
            bald,
            hat,
            long,
        )

    def _shell(
        self,
        rng: np.random.Generator,
        noise: NoiseBank,
        neutral: Floats,
        vertices: Floats,
        hat: bool,
        long: bool,
    ) -> Floats:
        thick = rng.uniform(0.6, 1.8) if hat else rng.uniform(0.15, 2.6)
        rows = len(self.row_elevation)
        bumps = noise.draw(rng, "smooth")[:rows, : _COLUMNS + 1] * rng.uniform(0.05, 0.5)
        bumps = cv2.GaussianBlur(np.ascontiguousarray(bumps), (0, 0), 1.5) * min(thick, 1.2)
        bumps[:, -1] = bumps[:, 0]
        moved = (vertices[self.nearest] - neutral[self.nearest]).reshape(_ROWS, _COLUMNS + 1, 3)
        shell = self.base + cv2.GaussianBlur(moved.astype(np.float32), (0, 0), 1.0)
        top = np.clip(np.sin(self.elevation), 0, 1)[:, None] * rng.uniform(0, 2) * (thick > 0.5)
        shell = shell + self.directions * (thick + top + bumps[:_ROWS])[..., None]
        length = rng.uniform(3, 22) if long else rng.uniform(0.5, 4)
        last = shell[-1]
        out = last - self.centre
        out[:, 1] = 0
        out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
        fall = (np.arange(1, _HANGING + 1) / _HANGING).astype(np.float32)[:, None]
        spread = rng.normal(0.08, 0.15) * fall * length + 0.6 * bumps[_ROWS:].mean(1)[:, None]
        low = last[None] + out[None] * (spread + bumps[_ROWS:])[..., None]
        low[..., 1] -= fall * length
        if long:
            low[..., 2] += np.abs(np.sin(self.azimuth))[None] * fall * rng.uniform(-1, 2)
        return np.concatenate([shell, low]).astype(np.float32)

    def _hairline(
        self, rng: np.random.Generator, azimuth: np.ndarray, hat: bool, long: bool
    ) -> np.ndarray:
        a = np.abs(azimuth)
        front = rng.uniform(18, 36) if hat else rng.uniform(20, 52)
        if not hat and rng.random() < 0.25:
            front = rng.uniform(8, 24)  # a fringe over the brows
        temple = rng.uniform(38, 62)
        side = -200.0 if long else rng.uniform(-2, 16)
        nape = -200.0 if long else rng.uniform(-60, -20)
        opening = rng.uniform(42, 88) if long else temple
        shifted = a
        if long and rng.random() < 0.4:  # a curtain falls across one cheek or eye
            opening = rng.uniform(18, 45)
            shifted = a * np.where(np.sign(azimuth) == rng.choice([-1, 1]), 1.0, 0.55)
        w = 1 / (1 + np.exp(-(shifted - opening) / rng.uniform(2, 7)))
        line = front * (1 - w) + side * w
        w = 1 / (1 + np.exp(-(a - rng.uniform(98, 112)) / 4))
        line = line * (1 - w) + nape * w
        if hat:
            slope = (-front + rng.uniform(5, 18)) * np.clip((a - 30) / 100, 0, 1)
            line = np.minimum(line, front) if long else front + slope
        return np.asarray(line + rng.normal(0, 0.14) * azimuth * (a < 70))

    def _brim(
        self, rng: np.random.Generator, points: Floats, azimuth: np.ndarray, line: np.ndarray
    ) -> None:
        columns = np.rad2deg(self.azimuth)
        at = np.interp(columns, azimuth, line)
        gap = self.row_elevation[:_ROWS, None] - at[None]
        weight = np.clip(1 - gap / 8, 0, 1) * (gap > -9)
        weight = weight * np.clip(1 - np.abs(columns) / rng.uniform(55, 110), 0, 1)[None]
        push = (rng.uniform(3, 7) * weight)[..., None].astype(np.float32)
        points[:_ROWS] += self.directions * np.array([1, 0.1, 1], np.float32) * push
