"""Make synthetic photos of heads with known shape and pose; a sample follows from its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.heads.groups import AGES, GROUPS, SKINS
from protome_export.heads.load import load_head
from protome_export.heads.model import Floats, HeadModel
from protome_export.heads.pose import CROP, Camera, Shape, Shaper, make_camera, sample_shape
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import centres, resample, taps
from protome_export.render.drawing.random_draws import Dice
from protome_export.render.drawing.view import View
from protome_export.render.looks.assets import load_assets
from protome_export.render.looks.backdrop import draw_shoulders, sample_backdrops
from protome_export.render.looks.hair_volume import CELL, hair_cells
from protome_export.render.looks.occluders import (
    draw_hands,
    draw_objects,
    draw_panels,
    draw_strands,
)
from protome_export.render.looks.skin import Looks

from .camera import take_photos
from .renderer import HeadRenderer, Layer

_SECOND = 0.07  # share of samples with another face in them
_SCENE, _MAIN, _OTHER, _MASKED, _THINGS = range(5)  # streams of random numbers of one seed
_BEFORE = (0.2, 0.12, 0.2)  # shares of more hands, objects and panels before faces to be covered


@dataclass
class Sample:
    """One synthetic photo.

    Attributes:
        image: (208, 208, 3) uint8 RGB.
        landmarks: (68, 3) crop px, z = 0 at the pivot.
        shape: its parameters.
        skin: group of the skin, of `groups.SKINS`.
        hair, skull: (60, 52, 52) uint8 and bool, see `hair_volume.hair_cells`.
        cover: (52, 52) uint8, share of each 4 x 4 px that the head with its hair covers, 255 all.
        inner: (3, 52, 52) uint8, share that each of `inner_face.REGIONS` takes, also behind hair or
            other things; empty unless covered faces were asked for.
        hidden: (52, 52) uint8, share that is hidden by a mask, a dark lens, a hand or a thing.
    """

    image: NDArray[np.uint8]
    landmarks: Floats
    shape: Shape
    camera: Camera
    skin: str
    hair: NDArray[np.uint8]
    skull: NDArray[np.bool_]
    cover: NDArray[np.uint8]
    inner: NDArray[np.uint8]
    hidden: NDArray[np.uint8]


class Synthesizer:
    """Render synthetic faces of one head model on one device, ``together`` at a time.

    ``covered`` puts masks, dark glasses, hands and things before two of three faces.

    A widened head, or a ``group`` of `groups.GROUPS` that all samples shall belong to, brings the
    looks of ages and the dark female skins.

    Raises:
        ValueError: there is no such group, or the head cannot have that age.
    """

    def __init__(
        self,
        head: HeadModel,
        data: Path | None,
        device: str = "cpu",
        together: int | None = None,
        group: str | None = None,
        covered: bool = False,
    ) -> None:
        if group is not None and group not in GROUPS:
            raise ValueError(f"no group {group!r}: {', '.join(GROUPS)}")
        if group in AGES and not head.people:
            raise ValueError(f"group {group!r} needs a head widened by add-people")
        self.group, self.wide = group, bool(head.people or group)
        self.head, self.device, self.covered = head, torch.device(device), covered
        self.together = together or (8 if self.device.type == "cpu" else 128)
        self.shaper = Shaper(head, self.device)
        self.noise = NoiseBank(self.device)
        self.assets = load_assets(head, data, self.device)
        self.renderer = HeadRenderer(head, self.assets, self.noise)

    @classmethod
    def load(
        cls,
        head: Path | str,
        data: Path | None,
        device: str = "cpu",
        group: str | None = None,
        covered: bool = False,
    ) -> Synthesizer:
        """Load head model and assets; arguments as `load_head` and `load_assets`."""
        return cls(load_head(head), data, device, group=group, covered=covered)

    def samples(self, seeds: Sequence[int]) -> list[Sample]:
        """Render one sample per seed.

        On one device a seed gives the same sample in any batch, except for rounding.
        """
        out: list[Sample] = []
        with torch.inference_mode():
            for start in range(0, len(seeds), self.together):
                out += self._batch(seeds[start : start + self.together])
        return out

    def _batch(self, seeds: Sequence[int]) -> list[Sample]:
        scene = Dice(seeds, _SCENE, self.device)
        others = [k for k, yes in enumerate(scene.chance(_SECOND).tolist()) if yes]
        keys: list[int | list[int]] = [*seeds, *([seeds[k], 1] for k in others)]
        shapes = [sample_shape(np.random.default_rng(k), self.head, self.group) for k in keys]
        dice = [Dice(seeds, _MAIN, self.device)]
        if others:
            dice.append(Dice([seeds[k] for k in others], _OTHER, self.device))
        vertices = self.shaper.vertices(shapes)
        landmarks = vertices[:, self.renderer.landmarks].cpu().numpy()
        cameras = [make_camera(s, p) for s, p in zip(shapes, landmarks, strict=True)]
        view, looks = View.of(cameras, self.device), self._looks(shapes)
        masked = None
        if self.covered:
            masked = Dice([*seeds, *(seeds[k] for k in others)], _MASKED, self.device)
        layer = self.renderer.heads(Dice.joined(dice), vertices, view, looks, covers=masked)
        pictures, hidden = self._compose(scene, layer, others, landmarks, cameras, seeds)
        images = pictures.cpu().numpy()
        skins = [SKINS[k] for k in layer.group.tolist()]
        n = len(seeds)
        hair, skull = hair_cells(layer.shell, view, n, self.renderer.shell)
        inner = layer.inner
        if inner is None:
            inner = torch.zeros(n, 0, CROP, CROP, device=self.device)
        shares = torch.cat([layer.face[:n, None], hidden[:, None], inner[:n]], 1)
        cells = (fn.avg_pool2d(shares, int(CELL)).clamp(0, 1) * 255).round().to(torch.uint8)
        grids = [hair.cpu().numpy(), skull.cpu().numpy(), cells.cpu().numpy()]
        return [
            Sample(
                images[k], cameras[k].project(landmarks[k]), shapes[k], cameras[k], skins[k],
                grids[0][k], grids[1][k], grids[2][k, 0], grids[2][k, 2:], grids[2][k, 1],
            )
            for k in range(n)
        ]  # fmt: skip

    def _looks(self, shapes: list[Shape]) -> Looks | None:
        if not self.wide:
            return None
        child, old = (
            torch.tensor([s.age == age for s in shapes], device=self.device)
            for age in ("child", "old")
        )
        return Looks(child, old, self.group if self.group in SKINS else None)

    def _compose(
        self,
        scene: Dice,
        layer: Layer,
        others: list[int],
        landmarks: Floats,
        cameras: list[Camera],
        seeds: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Put the first B layers before their scenes.

        Returns:
            pictures (B, CROP, CROP, 3) uint8, and how much of each px is hidden by masks, dark
            lenses, hands and things, (B, CROP, CROP).
        """
        n = len(scene)
        canvas = sample_backdrops(scene, self.assets, self.noise, CROP)
        canvas = self._second_faces(scene, canvas, layer, others)
        behind = np.array([0, 0, -8], np.float32)
        points = [cameras[k].project(landmarks[k, 8:9] + behind)[0, :2] for k in range(n)]
        chin = torch.from_numpy(np.array(points, np.float32)).to(self.device)
        scale = torch.tensor([c.scale for c in cameras[:n]], device=self.device)
        canvas = draw_shoulders(scene, self.noise, canvas, chin, scale)
        canvas = canvas * (1 - layer.cover[:n, None]) + layer.light[:n]
        tone = layer.tone[:n]
        canvas, hands = draw_hands(scene, canvas, tone)
        canvas, objects = draw_objects(scene, canvas)
        canvas = draw_strands(scene, canvas, layer.hair[:n], 0.12 * layer.haired[:n])
        hidden = [layer.hidden[:n], hands, objects]
        if self.covered:
            dice = Dice(seeds, _THINGS, self.device)
            marks = [cameras[k].project(landmarks[k])[:, :2].mean(0) for k in range(n)]
            middle = torch.from_numpy(np.array(marks, np.float32)).to(self.device)
            canvas, more_hands = draw_hands(dice, canvas, tone, _BEFORE[0])
            canvas, more_objects = draw_objects(dice, canvas, _BEFORE[1])
            cloth = sample_backdrops(dice, self.assets, self.noise, CROP)
            canvas, panels = draw_panels(dice, canvas, cloth, middle, _BEFORE[2])
            hidden += [more_hands, more_objects, panels]
        photos = take_photos(scene, self.noise, canvas, layer.face[:n], tone.mean(1))
        seen = torch.stack([1 - part for part in hidden])
        return photos, 1 - seen.prod(0)

    def _second_faces(self, scene: Dice, canvas: Tensor, layer: Layer, others: list[int]) -> Tensor:
        """Add other heads, smaller or cut off at the side, behind the main ones."""
        shrink = torch.exp(scene.uniform(math.log(0.4), 0.0))
        move = torch.stack(
            [scene.sign() * scene.uniform(0.42, 0.62), scene.normal(0, 0.15)], 1
        ) * CROP  # fmt: skip
        if not others:
            return canvas
        at = torch.tensor(others, device=self.device)
        x = centres(CROP, self.device) - CROP / 2
        place = (x - move[at, :, None]) / shrink[at, None, None] + CROP / 2 - 0.5
        linear = torch.zeros(len(at), dtype=torch.bool, device=self.device)
        outside = ((place < 0) | (place > CROP - 1)).float()
        across, down = (
            taps(place[:, k], CROP, linear) * (1 - outside[:, k, :, None]) for k in (0, 1)
        )
        extra = slice(len(scene), None)
        light = resample(layer.light[extra], down, across)
        cover = resample(layer.cover[extra], down, across)[:, None]
        light = light / light.amax((1, 2, 3), keepdim=True).clamp(min=0.5)
        canvas[at] = canvas[at] * (1 - cover) + light
        return canvas
