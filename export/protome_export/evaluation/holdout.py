"""Read synthetic samples outside the training set, with their true heads and hair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from protome.geometry import CROP_SIDE
from protome.mesh.shape.surface import Surface
from protome_export.heads.model import Floats
from protome_export.render.drawing.raster import NOTHING, depth_map
from protome_export.render.looks.hair_volume import GRID
from protome_export.training.geometry import LEAST, NEAREST
from protome_export.training.hair.dataset import along_z
from protome_export.training.shape_space import Poser, ShapeSpace, similarity
from protome_export.training.shards import read_hair, read_shard

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class HeldOut:
    """A sample and its truth, placed along z as the network places its own head.

    Attributes:
        crop: (208, 208, 3) RGB.
        vertices: (N, 3) of the head, crop px.
        hair: (42, 52, 52), 255 where a cell is hair or headgear.
        skull: the same of cells inside of the skull, which do not count.
    """

    crop: U8
    vertices: Floats
    hair: U8
    skull: U8


def held_out(path: Path, poser: Poser, space: ShapeSpace, count: int) -> Iterator[HeldOut]:
    """Yield the first samples of a shard."""
    shard, (hair, skull) = read_shard(path), read_hair(path)
    index = np.arange(min(count, len(shard.images)))
    heads = poser.crop_frame(shard.labels, index)
    r, s, t = similarity(shard.labels.landmarks[index].astype(np.float32), space.canonical68)
    template = (space.mean @ r[:, 2].T * s).min(0) + t[:, 2]
    shift = np.maximum(NEAREST - template, LEAST - heads[..., 2].min(1)).astype(np.float32)
    heads[..., 2] += shift[:, None]
    for i in index:
        bits = np.unpackbits(skull[i], axis=-1, count=hair.shape[-1]) * np.uint8(255)
        both = torch.from_numpy(np.stack([hair[i], bits])).float()
        assert both.shape[1] == GRID[0]
        cells = along_z(both, torch.full((2,), float(shift[i])), torch.ones(2))
        hair_, skull_ = (cells.numpy() + 0.5).astype(np.uint8)
        yield HeldOut(np.array(shard.images[i]), heads[i], hair_, skull_)


def hair_iou(true: U8, found: U8, skull: U8) -> float | None:
    """Return the intersection over union of hair outside of the skull; None if there is none."""
    free = skull < 128
    first, second = (true > 127) & free, (found > 127) & free
    union = int((first | second).sum())
    return float((first & second).sum() / union) if union else None


def depth_gaps(true: Surface, found: Surface) -> tuple[float, float, float]:
    """Compare two surfaces as the camera sees them, and from behind.

    Returns:
        IoU of their outlines in the crop; mean distance of their fronts and of their backs along z,
        px, where there are both.
    """
    maps = []
    for surface in (true, found):
        triangles = surface.triangles.astype(np.int32)
        for side in (-1, 1):
            turned = np.ascontiguousarray(surface.vertices * np.array([1, 1, side], np.float32))
            maps.append(depth_map(turned, triangles, CROP_SIDE))
    there = [m > NOTHING / 2 for m in maps]
    both, either = there[0] & there[2], there[0] | there[2]
    front, back = (np.abs(maps[k] - maps[k + 2])[both].mean() for k in (0, 1))
    return float(both.sum() / either.sum()), float(front), float(back)


def surface_distance(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the mean distance, px, of a true surface's vertices to those of another."""
    return float(np.mean(cKDTree(found).query(truth)[0]))
