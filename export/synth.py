"""Synthetic photos of heads with known shape and pose; every sample follows from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .assets import ROTATIONS, TEXTURE, load_assets, to_linear
from .backdrop import sample_backdrop
from .eyewear import Glasses, sample_glasses
from .hair import Hair, HairShell
from .headmodel import Floats, HeadModel, load_head
from .identity import CROP, Camera, Shape, head_vertices, make_camera, sample_shape
from .noise import NoiseBank
from .occluders import draw_hand, draw_object, draw_strands
from .photo import take_photo
from .pixels import shrink, stretch
from .raster import depth_map, gbuffer, vertex_normals
from .shading import Lights, Materials, shade
from .skin import Skin, sample_skin
from .surfaces import FRAME, HAIR, RenderHead

_SIZE = CROP * 3 // 2  # rendered at 1.5 times the crop and averaged down
_SHADOW = 160
_NO_ALPHA = np.zeros((0, 0), np.float32)
_NO_UV = np.zeros((1, 2), np.float32)


@dataclass
class Sample:
    """image uint8 (192, 192, 3) RGB; landmarks (68, 3) crop px, z 0 at the pivot; the shape."""

    image: NDArray[np.uint8]
    landmarks: Floats
    shape: Shape
    camera: Camera


@dataclass
class _Layer:
    """A rendered head: linear RGB (S, S, 3), mask (S, S), G-buffer depth, mean skin tone."""

    image: Floats
    mask: Floats
    skin: Skin
    hair: Hair
    lens: Floats
    cloth: Floats


class Synthesizer:
    """Renders synthetic faces of one head model."""

    def __init__(self, head: HeadModel, data: Path | None) -> None:
        self.head = head
        self.render = RenderHead(head)
        self.shell = HairShell(head)
        self.noise = NoiseBank()
        self.assets = load_assets(head, data)
        self._azimuth, self._elevation = self._texture_angles()

    @classmethod
    def load(cls, head: Path | str, data: Path | None) -> Synthesizer:
        return cls(load_head(head), data)

    def samples(self, seeds: list[int]) -> list[Sample]:
        """Renders one sample per seed."""
        generators = [np.random.default_rng(s) for s in seeds]
        shapes = [sample_shape(r, self.head) for r in generators]
        vertices = head_vertices(self.head, shapes)
        return [self._sample(r, s, v) for r, s, v in zip(generators, shapes, vertices, strict=True)]

    def _sample(self, rng: np.random.Generator, shape: Shape, vertices: Floats) -> Sample:
        landmarks = vertices[self.head.landmarks]
        camera = make_camera(shape, landmarks)
        canvas = sample_backdrop(rng, self.assets, self.noise, _SIZE)
        if rng.random() < 0.07:
            self._second_face(rng, canvas)
        self._shoulders(rng, canvas, camera, landmarks, shape)
        layer = self._layer(rng, vertices, camera)
        canvas += (layer.image - canvas) * layer.mask[..., None]
        if layer.lens.size:
            canvas += (layer.cloth - canvas) * layer.lens[..., None]
        image, mask = shrink(canvas, CROP, CROP), shrink(layer.mask, CROP, CROP)
        if rng.random() < 0.09:
            draw_hand(rng, image, layer.skin.tone)
        if rng.random() < 0.09:
            draw_object(rng, image)
        if layer.hair.covers and rng.random() < 0.12:
            draw_strands(rng, image, layer.hair.colour)
        tone = float(layer.skin.tone.mean())
        photo = take_photo(rng, self.noise, image, mask, tone)
        return Sample(photo, camera.project(landmarks), shape, camera)

    def _texture_angles(self) -> tuple[Floats, Floats]:
        """Azimuth and elevation (degrees) of the face tile's texels, seen from the hair shell."""
        face = self.render.kind == 0
        uv = self.render.uv[face].reshape(-1, 2)
        at = np.concatenate([uv * [TEXTURE, -TEXTURE] + [0, TEXTURE], np.zeros((len(uv), 1))], 1)
        size = (TEXTURE, TEXTURE)
        depth, ids = np.full(size, -1e9, np.float32), np.full(size, -1, np.int32)
        bary = np.zeros((*size, 2), np.float32)
        flat = np.arange(len(uv), dtype=np.int32).reshape(-1, 3)
        gbuffer(at.astype(np.float32), flat, 0, depth, ids, bary, _NO_ALPHA, _NO_UV)
        w = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)[..., None]
        corners = self.head.neutral[self.render.triangles[face][ids.clip(0)]]
        p = (corners * w).sum(2) - self.shell.centre
        azimuth = np.rad2deg(np.arctan2(p[..., 0], p[..., 2]))
        elevation = np.rad2deg(np.arctan2(p[..., 1], np.hypot(p[..., 0], p[..., 2])))
        elevation = np.where(ids >= 0, elevation, -90)
        return azimuth.astype(np.float32), elevation.astype(np.float32)

    def _hair_roots(self, rng: np.random.Generator, hair: Hair) -> Floats:
        line = np.interp(self._azimuth, np.linspace(-180, 180, len(hair.line)), hair.line)
        grain = 3 * self.noise.draw(rng, "medium")
        return np.asarray(
            1 / (1 + np.exp(-(self._elevation - line - 2 + grain).clip(-40, 40) / 1.5)), np.float32
        )

    def _layer(self, rng: np.random.Generator, vertices: Floats, camera: Camera) -> _Layer:
        landmarks = vertices[self.head.landmarks]
        hair = self.shell.sample(rng, self.noise, self.head.neutral, vertices)
        glasses = sample_glasses(rng, landmarks) if rng.random() < 0.24 else None
        skin = sample_skin(rng, self.assets, self.noise, hair, self._hair_roots(rng, hair))
        materials = self._materials(rng, skin, hair)
        extra = [] if glasses is None else [glasses.vertices]
        everything = np.concatenate([vertices, hair.vertices, *extra])
        turned = camera.turn(everything)
        pixels = self._to_pixels(turned, camera)
        counts = (len(vertices), len(vertices) + len(hair.vertices))
        triangles, kind, uv = self._draw_list(hair, glasses, counts)
        size = (_SIZE, _SIZE)
        depth, ids = np.full(size, -1e9, np.float32), np.full(size, -1, np.int32)
        bary = np.zeros((*size, 2), np.float32)
        heads = len(self.render.triangles)
        drawn = heads if rng.random() < 0.5 else self.render.without_lashes
        first = self.render.triangles[:drawn]
        gbuffer(pixels, first, 0, depth, ids, bary, _NO_ALPHA, _NO_UV)
        hairs = int((kind == HAIR).sum())
        if hair.covers:
            shell_uv = np.zeros((len(pixels), 2), np.float32)
            shell_uv[counts[0] : counts[1]] = self.shell.uv
            some = triangles[heads : heads + hairs]
            gbuffer(pixels, some, heads, depth, ids, bary, hair.alpha, shell_uv)
        frame = triangles[heads + hairs :]
        gbuffer(pixels, frame, heads + hairs, depth, ids, bary, _NO_ALPHA, _NO_UV)
        lights = self._lights(rng, pixels, triangles, camera)
        image, mask = self._resolve(
            rng, (depth, ids, bary), (triangles, kind, uv), everything, turned, materials, lights
        )
        lens, tint = np.zeros((0, 0), np.float32), np.zeros(3, np.float32)
        if glasses is not None:
            lens, tint = self._lens(rng, glasses, pixels, counts[1], depth)
        return _Layer(image, mask, skin, hair, lens, tint)

    def _to_pixels(self, turned: Floats, camera: Camera) -> Floats:
        k = _SIZE / CROP
        scale = np.array([camera.scale, -camera.scale, camera.scale], np.float32) * k
        return (turned * scale + np.array([*camera.origin, 0]) * k).astype(np.float32)

    def _draw_list(
        self, hair: Hair, glasses: Glasses | None, counts: tuple[int, int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], Floats]:
        parts = [(self.render.triangles, self.render.kind, self.render.uv)]
        if hair.covers:
            alpha = shrink(hair.alpha, 73, len(self.shell.row_elevation)).ravel()
            t = self.shell.triangles
            t = t[alpha[t].max(1) > -6]
            kind = np.full(len(t), HAIR, np.int64)
            parts.append((t + np.int32(counts[0]), kind, self.shell.uv[t]))
        if glasses is not None:
            t = glasses.frame + np.int32(counts[1])
            corners = np.zeros((len(t), 3, 2), np.float32)
            parts.append((t, np.full(len(t), FRAME, np.int64), corners))
        triangles, kinds, uvs = zip(*parts, strict=True)
        return np.concatenate(triangles), np.concatenate(kinds), np.concatenate(uvs)

    def _materials(self, rng: np.random.Generator, skin: Skin, hair: Hair) -> Materials:
        irises = [[.25, .14, .07], [.35, .22, .1], [.3, .4, .5], [.35, .45, .35],
                  [.12, .08, .06], [.45, .5, .55]]  # fmt: skip
        red = to_linear([rng.uniform(0.35, 0.6), rng.uniform(0.12, 0.3), rng.uniform(0.12, 0.3)])
        dark = np.full(3, 0.01, np.float32)
        metal = to_linear(rng.random(3) ** 2) if rng.random() < 0.4 else dark
        return Materials(
            face=skin.face,
            back=skin.back,
            hair=hair.texture,
            flesh=red,
            tooth=to_linear(np.array([0.88, 0.84, 0.76]) * rng.uniform(0.75, 1.05)),
            socket=skin.tone * np.float32(0.5),
            lash=to_linear([0.08, 0.06, 0.05]),
            frame=metal.astype(np.float32),
            sclera=to_linear(np.array([0.9, 0.87, 0.84]) * rng.uniform(0.75, 1.05)),
            iris=to_linear(np.array(irises[rng.integers(6)]) * rng.uniform(0.6, 1.3)),
            cloth=to_linear(rng.random(3) * rng.uniform(0.2, 1)),
            iris_radius=float(rng.uniform(0.56, 0.64)),
            pupil_radius=float(rng.uniform(0.15, 0.28)),
            shine=float(rng.uniform(0, 0.38) ** 1.5),
            collar=float(self.head.landmarks_neutral[8, 1] - rng.uniform(2.2, 8.5)),
        )

    def _lights(
        self,
        rng: np.random.Generator,
        pixels: Floats,
        triangles: NDArray[np.int32],
        camera: Camera,
    ) -> Lights:
        hard = rng.random() < 0.35
        ambient = rng.uniform(0.04, 0.3) if hard else rng.uniform(0.35, 1.0)
        which = int(rng.integers(len(self.assets.harmonics)))
        turn = int(rng.integers(ROTATIONS))
        harmonics = self.assets.harmonics[which, turn] * np.float32(ambient)
        if rng.random() < 0.3:  # neutralise a strong cast
            harmonics = np.repeat(harmonics.mean(1, keepdims=True), 3, 1)
        if rng.random() < 0.3:
            direction = self.assets.suns[which, turn, :3].copy()
            colour = self.assets.suns[which, turn, 3:].clip(0.2)
        else:
            x, y, z = rng.standard_normal(3) * [1.0, 0.8, 0.6]
            front = abs(z) * 0.9 + rng.uniform(0, 0.9)
            if rng.random() < 0.12:  # against the light
                front = -front
            direction = np.array([x, y + 0.35, front], np.float32)
            colour = np.clip(1 + rng.normal(0, 0.12, 3), 0.5, 1.6).astype(np.float32)
        direction = direction / np.float32(np.linalg.norm(direction))
        strength = rng.uniform(0.5, 1.6) if hard else rng.uniform(0, 0.9)
        shadow, matrix = np.zeros((0, 0), np.float32), np.zeros((3, 4), np.float32)
        scale = camera.scale * _SIZE / CROP
        if strength > 0.25 and rng.random() < (0.9 if hard else 0.6):
            d = direction * np.array([1, -1, 1], np.float32)
            u = np.cross(d, [0, 1, 0.03])
            u /= np.linalg.norm(u)
            v = np.cross(d, u)
            k = _SHADOW / (34 * scale)
            centre = pixels[self.head.landmarks].mean(0) - [0, 0, 4 * scale]
            rows = np.stack([u * k, v * k, d * k])
            offset = np.array([_SHADOW / 2, _SHADOW / 2, 0]) - rows @ centre
            matrix = np.concatenate([rows, offset[:, None]], 1).astype(np.float32)
            cast = np.concatenate([self.render.outer, triangles[len(self.render.triangles) :]])
            shadow = np.full((_SHADOW, _SHADOW), -1e9, np.float32)
            depth_map((pixels @ matrix[:, :3].T + matrix[:, 3]).astype(np.float32), cast, shadow)
        return Lights(
            harmonics.astype(np.float32),
            direction,
            (colour * strength).astype(np.float32),
            float(rng.uniform(0, 0.05) if hard else rng.uniform(0, 0.5)),
            shadow,
            matrix,
            0.35 * _SHADOW / 34,
        )

    def _resolve(
        self,
        rng: np.random.Generator,
        buffers: tuple[Floats, NDArray[np.int32], Floats],
        mesh: tuple[NDArray[np.int32], NDArray[np.int64], Floats],
        vertices: Floats,
        turned: Floats,
        materials: Materials,
        lights: Lights,
    ) -> tuple[Floats, Floats]:
        """Shades the G-buffer's covered pixels into an image and a mask."""
        depth, ids, bary = buffers
        triangles, kinds, uv = mesh
        normals = torch.from_numpy(vertex_normals(turned, triangles))
        ao = np.ones(len(vertices), np.float32)
        ao[: len(self.render.ao)] = self.render.ao ** np.float32(rng.uniform(0.5, 1.4))
        at = np.flatnonzero(ids >= 0)
        t = torch.from_numpy(ids.ravel()[at].astype(np.int64))
        b = torch.from_numpy(bary.reshape(-1, 2)[at])
        weights = torch.cat([b, 1 - b.sum(1, keepdim=True)], 1)[..., None]
        corners = torch.from_numpy(triangles)[t].long()
        normal = (normals[corners] * weights).sum(1)
        normal = normal / (normal.norm(dim=1, keepdim=True) + 1e-9)
        if rng.random() < 0.5:  # pores: a bump in the normal
            bump = self.noise.draw(rng, "fine").ravel() * rng.uniform(0, 0.08)
            row, column = at // _SIZE % 256, at % _SIZE % 256
            normal[:, 0] += torch.from_numpy(bump[row * 256 + column].astype(np.float32))
        packed = torch.from_numpy(np.stack([ao, vertices[:, 1]], 1).astype(np.float32))
        occlusion, height = (packed[corners] * weights).sum(1).unbind(1)
        kind = torch.from_numpy(kinds)[t]
        height = torch.where(kind >= HAIR, torch.full_like(height, 99.0), height)
        texture = (torch.from_numpy(uv)[t] * weights).sum(1)
        position = np.stack([at % _SIZE + 0.5, at // _SIZE + 0.5, depth.ravel()[at]], 1)
        light = shade(
            kind,
            texture,
            normal,
            occlusion,
            height,
            torch.from_numpy(position.astype(np.float32)),
            materials,
            lights,
        )
        image = np.zeros((_SIZE * _SIZE, 3), np.float32)
        image[at] = light.numpy()
        mask = (ids >= 0).astype(np.float32)
        return image.reshape(_SIZE, _SIZE, 3), mask

    def _lens(
        self, rng: np.random.Generator, glasses: Glasses, pixels: Floats, first: int, depth: Floats
    ) -> tuple[Floats, Floats]:
        near = np.full((_SIZE, _SIZE), -1e9, np.float32)
        depth_map(pixels, glasses.lens + np.int32(first), near)
        opacity = rng.uniform(0.6, 1.0) if glasses.dark else rng.uniform(0, 0.25)
        weight = ((near > depth) * opacity).astype(np.float32)
        if glasses.dark and rng.random() < 0.4:  # graded lenses or a reflection
            smooth = stretch(self.noise.draw(rng, "smooth"), _SIZE, _SIZE)
            weight = weight * np.clip(1 + 0.25 * smooth, 0.3, 1)
        top = 0.3 if glasses.dark else 1.0
        tint = to_linear(
            rng.random(3) * top if rng.random() < 0.5 else np.ones(3) * rng.random() * top
        )
        return np.asarray(weight, np.float32), tint

    def _shoulders(
        self,
        rng: np.random.Generator,
        canvas: Floats,
        camera: Camera,
        landmarks: Floats,
        shape: Shape,
    ) -> None:
        if rng.random() > 0.85:
            return
        k = _SIZE / CROP
        chin = camera.project(landmarks[8:9] + np.array([0, 0, -8], np.float32))[0]
        s = camera.scale
        x = chin[0] + rng.normal(0, 1.5) * s
        y = chin[1] + s * rng.uniform(3, 7)
        wide = s * rng.uniform(11, 22)
        low = y + s * rng.uniform(2, 6)
        points = np.array(
            [[x - wide, low], [x - wide * 0.35, y - s * 0.5], [x + wide * 0.35, y - s * 0.5],
             [x + wide, low], [x + wide * 1.2, 400], [x - wide * 1.2, 400]]
        ) * k  # fmt: skip
        colour = to_linear(rng.random(3) * rng.uniform(0.2, 1)) * rng.uniform(0.3, 0.9)
        mask = np.zeros(canvas.shape[:2], np.float32)
        cv2.fillPoly(mask, [points.astype(np.int32)], (1.0,), cv2.LINE_AA)
        folds = stretch(self.noise.draw(rng, "smooth"), _SIZE, _SIZE) * rng.uniform(0, 0.3)
        canvas += (colour * (1 + folds[..., None]) - canvas) * mask[..., None]

    def _second_face(self, rng: np.random.Generator, canvas: Floats) -> None:
        """Another head, smaller or cut off at the side, behind the main one."""
        shape = sample_shape(rng, self.head)
        vertices = head_vertices(self.head, [shape])[0]
        camera = make_camera(shape, vertices[self.head.landmarks])
        layer = self._layer(rng, vertices, camera)
        scale = rng.uniform(0.4, 1.0)
        side = rng.choice([-1, 1]) * rng.uniform(0.42, 0.62) * _SIZE
        move = np.array(
            [[scale, 0, _SIZE / 2 * (1 - scale) + side],
             [0, scale, _SIZE / 2 * (1 - scale) + rng.normal(0, 0.15) * _SIZE]]
        )  # fmt: skip
        image = np.asarray(cv2.warpAffine(layer.image, move, (_SIZE, _SIZE)), np.float32)
        mask = np.asarray(cv2.warpAffine(layer.mask, move, (_SIZE, _SIZE)), np.float32)
        canvas += (image / max(float(image.max()), 0.5) - canvas) * mask[..., None]
