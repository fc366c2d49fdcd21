"""Evaluate synthetic samples group by group."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np

from protome_export.heads.groups import GROUPS, group_of
from protome_export.training.shape_space import Poser, ShapeSpace, similarity
from protome_export.training.shards import find_shards, read_shard

from .holdout import held_out, surface_distance
from .metrics import box_size
from .service import Served

MEASURES: Final = (
    "landmark_3d_px", "landmark_share", "rotation_deg", "surface_distance_px", "surface_share",
)  # fmt: skip


def evaluate_groups(
    served: Served, folder: Path, poser: Poser, space: ShapeSpace, count: int
) -> dict[str, dict[str, float]]:
    """Evaluate the first ``count`` samples of each group in the shards of a folder.

    Returns:
        of each of `GROUPS` present, the means of `MEASURES` and ``count``; shares are of the size
        of the 68 points' box. Empty for shards without labels.
    """
    rows = defaultdict[str, list[list[float]]](list)
    for path in find_shards(folder):
        shard = read_shard(path)
        age, skin = shard.labels.age, shard.labels.skin
        if age is None or skin is None:
            continue
        groups = [group_of(a, s) for a, s in zip(age, skin, strict=True)]
        samples = held_out(path, poser, space, len(groups))
        for group, sample in zip(groups, samples, strict=True):
            if len(rows[group]) < count:
                rows[group].append(_measured(served, sample.crop, sample.vertices, poser))
    return {
        group: dict(zip(MEASURES, map(float, np.mean(rows[group], 0)), strict=True))
        | {"count": float(len(rows[group]))}
        for group in GROUPS
        if rows[group]
    }


def _measured(served: Served, crop: np.ndarray, head: np.ndarray, poser: Poser) -> list[float]:
    out = served.predict(crop)
    assert out.landmarks is not None
    truth = head[poser.solid.on_jaw]
    size = box_size(truth)
    off = float(np.linalg.norm(truth - out.landmarks, axis=1).mean())
    turn = similarity(out.landmarks[None, 17:], truth[17:])[0][0]
    angle = np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    surface = surface_distance(head, out.vertices)
    return [off, off / size, float(angle), surface, surface / size]


def group_table(groups: dict[str, dict[str, float]]) -> str:
    """Format a Markdown table, one row per group."""
    lines = [
        "| synthetic hold-out by group | count | 3D landmarks, px | share of face size "
        "| rotation, degrees | surface distance, px | share of face size |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in groups.items():
        px, share, angle, surface, part = (row[m] for m in MEASURES)
        figures = f"{px:.2f} | {share:.4f} | {angle:.2f} | {surface:.2f} | {part:.4f}"
        lines.append(f"| {name.replace('_', ' ')} | {row['count']:.0f} | {figures} |")
    return "\n".join(lines)
