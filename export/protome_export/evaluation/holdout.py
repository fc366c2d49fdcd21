"""Read synthetic samples outside the training set, with their true heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from protome_export.heads.model import Floats
from protome_export.heads.pose import CROP
from protome_export.render.raster import solid_occupancy
from protome_export.training.geometry import LEAST, NEAREST
from protome_export.training.shape_space import Poser, ShapeSpace, similarity
from protome_export.training.shards import Shard

U8 = NDArray[np.uint8]


def held_out(
    shard: Shard, poser: Poser, space: ShapeSpace, count: int
) -> Iterator[tuple[U8, Floats, Floats]]:
    """Yield the first samples of a shard.

    Yields:
        crop (192, 192, 3) uint8 RGB;
        vertices (N, 3) of the head, crop frame, placed along z as the network places its own (see
        `GuidedNet.placed`);
        occupancy (100, 96, 96), 0 to 1.
    """
    index = np.arange(min(count, len(shard.images)))
    heads = poser.crop_frame(shard.labels, index)
    r, s, t = similarity(shard.labels.landmarks[index].astype(np.float32), space.canonical68)
    template = (space.mean @ r[:, 2].T * s).min(0) + t[:, 2]
    shift = np.maximum(NEAREST - template, LEAST - heads[..., 2].min(1))
    heads[..., 2] += shift[:, None].astype(np.float32)
    for i in index:
        yield np.array(shard.images[i]), heads[i], solid_occupancy(heads[i], space.triangles)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def surface_distance(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the mean distance, px, of a head's vertices inside the crop to a surface's."""
    if not len(found):
        return float(CROP)
    inside = ((truth > 0) & (truth < [CROP, CROP, 99])).all(1)
    return float(np.mean(cKDTree(found).query(truth[inside])[0]))
