"""Render a batch of posed heads with skin, eyes, hair and glasses: G-buffer, then shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from protome_export.heads.model import HeadModel, Ints
from protome_export.heads.pose import CROP
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import blended, gamma, resample, shrinking
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.raster import gbuffer
from protome_export.render.drawing.view import SIZE, View
from protome_export.render.looks.assets import TEXTURE, Assets
from protome_export.render.looks.eyewear import (
    COUNT,
    FRAME_TRIANGLES,
    GLASSES,
    LENS_TRIANGLES,
    Glasses,
    sample_glasses,
)
from protome_export.render.looks.hair import Hair, HairShell
from protome_export.render.looks.masks import MaskShell
from protome_export.render.looks.skin import Looks, Skin, SkinPainter

from .covering import put_lenses, put_masks
from .gbuffer import Cutout, GBuffer, draw
from .inner_face import InnerFace
from .lighting import Casters, sample_lights
from .shading import Fragments, Lights, Materials, shade
from .surfaces import BACK_SKIN, FRAME, HAIR, LASH, SKIN, RenderHead

_IRISES = [[.25, .14, .07], [.35, .22, .1], [.3, .4, .5], [.35, .45, .35],
           [.12, .08, .06], [.45, .5, .55]]  # fmt: skip

# Shares of the heads with glasses and masks where covered faces are asked for.
_GLASSES, _MASKS = 0.4, 0.22


@dataclass
class Layer:
    """B rendered heads without background.

    Attributes:
        light: (B, 3, CROP, CROP) linear RGB times coverage.
        cover: (B, CROP, CROP) coverage.
        face: (B, CROP, CROP) the part of it that is head.
        tone, hair: (B, 3) colour of skin and hair, linear RGB.
        haired: (B,) whether the head has hair.
        group: (B,) index into `groups.SKINS`.
        shell: hair and headgear.
        hidden: (B, CROP, CROP) what masks and dark lenses hide.
        inner: (B, 3, CROP, CROP) the parts of the face, `InnerFace.shares`; None without covers.
    """

    light: Tensor
    cover: Tensor
    face: Tensor
    tone: Tensor
    hair: Tensor
    haired: Tensor
    group: Tensor
    shell: Hair
    hidden: Tensor
    inner: Tensor | None


class HeadRenderer:
    """Render heads of one head model."""

    def __init__(self, head: HeadModel, assets: Assets, noise: NoiseBank) -> None:
        self.device = assets.density.device
        self.assets, self.noise = assets, noise
        self.render = RenderHead(head)
        self.shell = HairShell(head, self.device)
        self.masks = MaskShell(head, self.device)
        self.inner = InnerFace(head, self.render, self.device)
        self.skins = SkinPainter(assets, noise)
        self.landmarks = torch.from_numpy(head.landmarks.astype(np.int64)).to(self.device)
        self.chin = float(head.landmarks_neutral[8, 1])
        self.ao = self._tensor(self.render.ao)
        self.down = shrinking(SIZE, CROP, self.device)
        self._join(len(head.neutral))
        self._texel_angles(head)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _join(self, count: int) -> None:
        """Make one topology of head, hair and glasses."""
        r, shell = self.render, self.shell
        hair = shell.triangles + np.int32(count)
        glasses = count + len(shell.uv)
        total = glasses + COUNT
        self.triangles: Ints = np.concatenate([r.triangles, hair, FRAME_TRIANGLES + glasses])
        self.triangles = self.triangles.astype(np.int32)
        self.lens = (LENS_TRIANGLES + glasses).astype(np.int32)
        self.parts = (len(r.triangles), len(r.triangles) + len(hair))
        kind = np.full(len(self.triangles), HAIR, np.int64)
        kind[: self.parts[0]], kind[self.parts[1] :] = r.kind, FRAME
        uv = np.zeros((len(self.triangles), 3, 2), np.float32)
        uv[: self.parts[0]], uv[self.parts[0] : self.parts[1]] = r.uv, shell.uv[shell.triangles]
        self.kind, self.uv = self._tensor(kind), self._tensor(uv)
        self.corners = self._tensor(self.triangles.astype(np.int64))
        self.shell_uv = np.zeros((total, 2), np.float32)
        self.shell_uv[count:glasses] = shell.uv
        self.lashes = self.kind == LASH
        self.three = torch.arange(3, device=self.device)
        self.casts = self._tensor(np.isin(kind, (SKIN, BACK_SKIN, HAIR, FRAME)))
        # The triangles around each vertex, one after the other.
        vertex = self.triangles.ravel()
        self.around = self._tensor(np.argsort(vertex, kind="stable") // 3)
        starts = np.searchsorted(np.sort(vertex), np.arange(total))
        self.starts = self._tensor(starts)

    def _texel_angles(self, head: HeadModel) -> None:
        """Compute face texels' elevation (degrees) and azimuth (hairline index) from the shell."""
        face = self.render.kind == SKIN
        uv = self.render.uv[face].reshape(-1, 2)
        at = np.concatenate([uv * [TEXTURE, -TEXTURE] + [0, TEXTURE], np.zeros((len(uv), 1))], 1)
        flat = np.arange(len(uv), dtype=np.int32).reshape(-1, 3)
        _, ids, bary = gbuffer(at.astype(np.float32), flat, TEXTURE)
        w = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)[..., None]
        corners = head.neutral[self.render.triangles[face][ids.clip(0)]]
        azimuth, elevation = self.shell.seen_from((corners * w).sum(2))
        elevation = np.where(ids >= 0, elevation, -90)
        self.elevation = self._tensor(elevation.astype(np.float32))
        place = ((azimuth + 180) / 360 * 255).clip(0, 254.999)
        self.place = self._tensor(place.astype(np.float32))

    def _roots(self, dice: Dice, hair: Hair) -> Tensor:
        """Return where hair grows on the face tile, (B, TEXTURE, TEXTURE)."""
        i, w = self.place.long(), self.place % 1
        line = torch.lerp(hair.line[:, i], hair.line[:, i + 1], w)
        grain = self.noise.draw(dice, "medium") * 3
        return torch.sigmoid((self.elevation - line - 2 + grain) / 1.5)

    def heads(
        self,
        dice: Dice,
        vertices: Tensor,
        view: View,
        looks: Looks | None = None,
        shown: View | None = None,
        covers: Dice | None = None,
    ) -> Layer:
        """Render heads with vertices (B, V, 3) cm, head frame.

        ``shown`` are cameras to draw from instead of ``view``; heads and light stay as they are.
        With ``covers`` more heads wear glasses, some wear masks, and what they hide is known.
        """
        landmarks = vertices[:, self.landmarks]
        hair = self.shell.sample(dice, self.noise, vertices, looks.old if looks else None)
        glasses = sample_glasses(dice, landmarks, GLASSES if covers is None else _GLASSES)
        skin = self.skins.sample(dice, hair, self._roots(dice, hair), looks)
        everything = torch.cat([vertices, hair.vertices, glasses.vertices], 1)
        turned = view.turn(everything)
        pixels = view.to_pixels(turned).contiguous()
        seen = pixels
        if shown is not None:
            seen = shown.to_pixels(shown.turn(everything)).contiguous()
        drawn = self._drawn(dice, hair, glasses)
        cutout = Cutout(hair.alpha, self.shell_uv, self.parts[0], self.parts[1])
        buffer = draw(seen, self.triangles, drawn, SIZE, cutout)
        middle = pixels[:, self.landmarks].mean(1)
        cast, scale = drawn & self.casts, view.scale * (SIZE / CROP)
        lights = sample_lights(
            dice, self.assets, Casters(pixels, self.triangles, cast, middle, scale)
        )
        materials = self._materials(dice, skin, hair)
        if shown is not None:
            lights.eye = (view.rotation @ shown.rotation.transpose(1, 2))[:, :, 2]
        lit = None if shown is None else pixels
        light, cover = self._resolve(dice, buffer, everything, turned, materials, lights, lit)
        face = resample(cover, self.down)
        hidden = torch.zeros_like(cover)
        if covers is not None:
            masks = self.masks.sample(covers, self.noise, vertices, _MASKS)
            light, cover, hidden = put_masks(
                masks, self.masks, view, buffer, light, cover, materials, lights
            )
        light, cover, dark = put_lenses(
            dice, self.noise, glasses, self.lens, seen, buffer.depth, light, cover
        )
        hidden = torch.maximum(hidden, dark)
        inner = None
        if covers is not None:
            inner = self.inner.shares(seen[:, : len(self.ao)].contiguous())
        return Layer(
            resample(light, self.down), resample(cover, self.down), face, skin.tone, hair.colour,
            hair.covers, skin.group, hair, resample(hidden, self.down), inner,
        )  # fmt: skip

    def _drawn(self, dice: Dice, hair: Hair, glasses: Glasses) -> Tensor:
        """Return which triangles exist, (B, T)."""
        out = torch.ones(len(dice), len(self.triangles), dtype=torch.bool, device=self.device)
        out &= ~self.lashes | dice.chance(0.5)[:, None]
        out[:, self.parts[0] : self.parts[1]] = hair.shown
        out[:, self.parts[1] :] = glasses.worn[:, None]
        return out

    def _materials(self, dice: Dice, skin: Skin, hair: Hair) -> Materials:
        n = len(dice)

        def colour(*rgb: float) -> Tensor:
            return torch.tensor(rgb, device=self.device).expand(n, 3)

        def shades(base: Tensor, low: float, high: float) -> Tensor:
            return gamma(base * dice.uniform(low, high)[:, None])

        red = torch.stack(
            [dice.uniform(0.35, 0.6), dice.uniform(0.12, 0.3), dice.uniform(0.12, 0.3)], 1
        )
        metal = gamma(dice.uniform(0, 1, 3) ** 2)
        irises = torch.tensor(_IRISES, device=self.device)[dice.pick(len(_IRISES))]
        return Materials(
            face=skin.face,
            back=skin.back,
            hair=hair.texture,
            flesh=gamma(red),
            tooth=shades(colour(0.88, 0.84, 0.76), 0.75, 1.05),
            socket=skin.tone * 0.5,
            lash=gamma(colour(0.08, 0.06, 0.05)),
            frame=torch.where(dice.chance(0.4)[:, None], metal, 0.01),
            sclera=shades(colour(0.9, 0.87, 0.84), 0.75, 1.05),
            iris=shades(irises, 0.6, 1.3),
            cloth=gamma(dice.uniform(0, 1, 3) * dice.uniform(0.2, 1)[:, None]),
            iris_radius=dice.uniform(0.56, 0.64),
            pupil_radius=dice.uniform(0.15, 0.28),
            shine=dice.uniform(0, 0.38) ** 1.5,
            collar=self.chin - dice.uniform(2.2, 8.5),
        )

    def _normals(self, turned: Tensor) -> Tensor:
        """Return (B, V, 3), the sum of the triangles' area vectors around each vertex."""
        a, b, c = (turned[:, self.corners[:, k]] for k in range(3))
        faces = torch.linalg.cross(b - a, c - a)
        rows = faces.transpose(0, 1).reshape(len(self.triangles), -1)
        sums = fn.embedding_bag(self.around, rows, self.starts, mode="sum")
        return sums.view(-1, len(turned), 3).transpose(0, 1)

    def _resolve(
        self,
        dice: Dice,
        buffer: GBuffer,
        vertices: Tensor,
        turned: Tensor,
        materials: Materials,
        lights: Lights,
        lit: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Shade the G-buffers' covered pixels; return light (B, 3, S, S), cover (B, S, S).

        ``lit`` are the vertices in the lights' pixels if those are not the G-buffers'.
        """
        n, area = len(vertices), SIZE * SIZE
        ao = torch.ones(vertices.shape[:2], device=self.device)
        ao[:, : len(self.ao)] = self.ao ** dice.uniform(0.5, 1.4)[:, None]
        normals = self._normals(turned)
        normals = normals / (normals.norm(dim=2, keepdim=True) + 1e-12)
        attributes = torch.cat([normals, ao[..., None], vertices[..., 1:2]], 2)
        at = torch.nonzero(buffer.ids.view(-1) >= 0)[:, 0]
        head, place = torch.div(at, area, rounding_mode="floor"), at % area
        row, column = torch.div(place, SIZE, rounding_mode="floor"), place % SIZE
        t, b = buffer.ids.view(-1)[at], buffer.bary.view(-1, 2)[at]
        weights = torch.cat([b, 1 - b.sum(1, keepdim=True)], 1)
        corner = self.corners[t] + (head * vertices.shape[1])[:, None]
        packed = blended(attributes.reshape(-1, 5), corner, weights)
        normal = packed[:, :3] / (packed[:, :3].norm(dim=1, keepdim=True) + 1e-9)
        # Pores: a bump in the normal.
        bump = self.noise.draw(dice, "fine")
        bump *= (dice.uniform(0, 0.08) * dice.chance(0.5))[:, None, None]
        normal[:, 0] += bump.view(-1)[(head * 256 + row % 256) * 256 + column % 256]
        kind = self.kind[t]
        position = torch.stack([column + 0.5, row + 0.5, buffer.depth.view(-1)[at]], 1)
        if lit is not None:
            position = blended(lit.reshape(-1, 3), corner, weights)
        fragments = Fragments(
            head=head,
            count=torch.bincount(head, minlength=n).tolist(),
            kind=kind,
            uv=blended(self.uv.view(-1, 2), t[:, None] * 3 + self.three, weights),
            normal=normal,
            ao=packed[:, 3],
            height=torch.where(kind >= HAIR, 99.0, packed[:, 4]),
            position=position,
        )
        light = torch.zeros(n * area, 3, device=self.device)
        light[at] = shade(fragments, materials, lights)
        cover = (buffer.ids >= 0).float()
        return light.view(n, SIZE, SIZE, 3).permute(0, 3, 1, 2), cover
