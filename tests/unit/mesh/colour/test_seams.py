"""No seam shows where the photo's colours end: on the sample photo, whole, cut, unevenly lit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from protome.geometry import CROP_SIDE, F32, U8, Frame, Level
from protome.mesh.colour import texture as colour
from protome.mesh.colour.atlas import CELLS, Unwrapped
from protome.mesh.colour.mesh import Appearance
from protome.mesh.colour.painter import painter
from protome.mesh.colour.texture import texture
from protome.mesh.colour.trace import NODES, trace
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.mesh.shape.surface import Surface, compose
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request

SIDE = 1024
MOST = 12
# Texels around a place at which the photo's own edges count.
AROUND = 9

Ints = npt.NDArray[np.int_]


class Painted:
    """An atlas and what it was painted from."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, surface: Surface, photo: U8, frame: Frame
    ) -> None:
        made: list[F32] = []

        def spy(surface: Surface, layout: Unwrapped, frame: Frame) -> F32:
            made.append(trace(surface, layout, frame))
            return made[0]

        monkeypatch.setattr(colour, "trace", spy)
        self.picture = texture(surface, photo, frame, SIDE).picture
        drawn = made[0][:, :, 2] > 1e-5
        self.seen = drawn.repeat(SIDE // NODES, 0).repeat(SIDE // NODES, 1)
        whole = np.zeros((CELLS, CELLS, 8), np.float32)
        whole[:, :, 6] = 1
        everywhere = made[0].copy()
        everywhere[:, :, 2] = drawn
        self.photo = np.zeros((SIDE, SIDE, 3), np.uint8)
        painter.blend(everywhere, whole, colour._pixels(photo), self.photo)

    def seams(self, picture: U8) -> tuple[int, int]:
        """Count the texels at the border of seen and unseen, and those with a jump over ``MOST``
        that the photo has nowhere near, in this place or its mirror image.
        """
        inside = cv2.erode(self.seen.astype(np.uint8), np.ones((3, 3), np.uint8))
        edges = np.maximum(*(jumps(self.photo, axis) for axis in (0, 1))) * inside
        edges = cv2.dilate(
            np.maximum(edges, edges[:, ::-1]).astype(np.uint8), np.ones((AROUND, AROUND), np.uint8)
        )
        border = [self.seen != np.roll(self.seen, -1, axis) for axis in (0, 1)]
        found = [
            where & (jumps(picture, axis) > np.maximum(edges, MOST))
            for axis, where in enumerate(border)
        ]
        return sum(int(b.sum()) for b in border), sum(int(f.sum()) for f in found)


def jumps(picture: U8, axis: int) -> Ints:
    """How far each texel's colour is from the next one's."""
    values = picture.astype(int)
    worst: Ints = np.abs(values - np.roll(values, -1, axis)).max(axis=2)
    edge: list[slice] = [slice(None), slice(None)]
    edge[axis] = slice(-1, None)
    worst[tuple(edge)] = 0
    return worst


@pytest.fixture(scope="module")
def sample(sample_photo: bytes) -> tuple[Surface, U8, Frame]:
    pipeline = LocalPipeline()
    encoding = Encoding(Format.GLB, Compression.NONE, Appearance.TEXTURE)
    _, (task, *_) = pipeline.prepare(Request(sample_photo, encoding=encoding))
    (prediction,) = pipeline.infer([task.crop])
    surface = compose(pipeline.head, prediction.vertices, prediction.hair, Level.STANDARD)
    return surface, np.ascontiguousarray(task.portrait), task.frame


def whole(photo: U8) -> U8:
    return photo


def lit_from_the_left(photo: U8) -> U8:
    share = np.linspace(1.1, 0.35, len(photo))[None, :, None]
    return np.asarray(np.clip(photo * share, 0, 255), np.uint8)


def reddish_below(photo: U8) -> U8:
    share = np.linspace(0, 1, len(photo))[:, None, None] * np.array([-0.1, 0.5, 0.5])
    return np.asarray(np.clip(photo * (1 - share), 0, 255), np.uint8)


@pytest.mark.parametrize("light", [whole, lit_from_the_left, reddish_below])
@pytest.mark.parametrize("right", [CROP_SIDE, 118])
def test_no_seam_shows_where_the_photo_ends(
    sample: tuple[Surface, U8, Frame],
    monkeypatch: pytest.MonkeyPatch,
    light: Callable[[U8], U8],
    right: float,
) -> None:
    surface, photo, frame = sample
    painted = Painted(monkeypatch, surface, light(photo), replace(frame, right=right))
    border, found = painted.seams(painted.picture)
    assert border > 1000
    assert found == 0


def test_a_hard_border_is_a_seam(
    sample: tuple[Surface, U8, Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = Painted(monkeypatch, *sample)
    darker = np.where(painted.seen[:, :, None], painted.picture, painted.picture // 2)
    border, found = painted.seams(darker.astype(np.uint8))
    assert found > 0.3 * border
