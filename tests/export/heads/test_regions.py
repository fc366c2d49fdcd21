from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from protome_export.heads.model import HeadModel
from protome_export.heads.regions import (
    EAR,
    EYEBALL,
    INNER_MOUTH,
    LIPS,
    NECK,
    NOSTRIL,
    SCALP,
    SKIN,
    guard,
    importance,
    regions,
)  # fmt: skip
from protome_export.heads.solid import build_solid


def test_guard_is_on_the_face_alone(head: HeadModel) -> None:
    solid = build_solid(head)
    g, v = guard(head, solid), solid.vertices(head.neutral)
    assert g.dtype == np.float32
    assert g.min() >= 0
    assert g.max() == 1
    inner = solid.landmarks[[30, 33, 36, 39, 42, 45, 48, 51, 54, 57]]  # nose, eyes, mouth
    assert (g[inner] == 1).all()
    assert (g[v[:, 2] < 0] == 0).all()
    jaw = solid.landmarks[:17]
    sides = [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]
    assert (g[jaw[sides]] > 0.5).all()  # hair hangs beside them, not in front
    assert g[jaw[8]] < 0.1
    assert (guard(head, solid, beside=0)[jaw] < 0.1).all()
    brow = head.landmarks_neutral[17:27, 1].max()
    assert (g[v[:, 1] > brow + 2] == 0).all()
    assert ((g > 0.05) & (g < 0.95)).any()  # it falls, and does not drop


def test_regions_without_masks(head: HeadModel) -> None:
    solid = build_solid(head)
    assert set(regions(head, solid).tolist()) == {SKIN}  # the tiny head has no holes


def test_regions_from_masks(head: HeadModel, tmp_path: Path) -> None:
    """Masks in the tiny head's uv: image row 0 is v = 1, the back has a tile of its own."""
    size = 64
    x, y = np.meshgrid((np.arange(size) + 0.5) / size, 1 - (np.arange(size) + 0.5) / size)

    def mask(inside: np.ndarray) -> np.ndarray:
        return (inside * 255).astype(np.uint8)

    nothing = np.zeros((size, size), bool)
    masks = {
        "lips": mask((abs(x - 0.5) < 0.08) & (y > 0.35) & (y < 0.42)),
        "ears": mask(((x < 0.15) | (x > 0.85)) & (abs(y - 0.5) < 0.1)),
        "neck": mask(y < 0.2),
        "scalp_face": mask(y > 0.8),
        "scalp_backhead": mask(nothing),
    }
    np.savez(tmp_path / "masks.npz", **masks)  # type: ignore[arg-type]
    front = replace(head, triangle_material=np.zeros_like(head.triangle_material))
    solid = build_solid(front)
    v = solid.vertices(front.neutral)
    found = regions(front, solid, tmp_path / "masks.npz")
    assert found.dtype == np.uint8
    mouth = solid.landmarks[[51, 57]]
    assert (found[mouth] == LIPS).all()
    assert found[solid.landmarks[30]] == SKIN
    assert found[v[:, 1].argmax()] == SCALP
    assert found[v[:, 1].argmin()] == NECK
    assert EAR in found[np.abs(v[:, 0]) > 7]
    assert not np.isin(found, (EYEBALL, INNER_MOUTH, NOSTRIL)).any()


def test_importance_follows_regions_and_guard(head: HeadModel) -> None:
    solid = build_solid(head)
    region = np.full(len(solid.part), SCALP, np.uint8)
    region[0] = LIPS
    guarded = np.zeros(len(region), np.float32)
    guarded[1] = 1
    found = importance(solid, region, guarded)
    assert found[0] > found[1] > found[2] > 0
