"""Write head.npz: what the service must know of the head whose vertices the network predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from protome.mesh.shape.head import Head
from protome_export.heads.layout import lay_out
from protome_export.heads.model import HeadModel
from protome_export.heads.regions import BEHIND, SKIN, guard, importance, regions
from protome_export.heads.solid import build_solid, mirror_vertices

# How far outside of the jaw skin still counts as the face's, cm, if half of the guard is there.
_FACE = 1.0


def describe_head(head: HeadModel, masks: Path | None = None) -> Head:
    """Return topology, mirror images, regions, texture layout and guard of a head model's solid.

    Args:
        head: the head model.
        masks: see `regions.regions`.

    Raises:
        ValueError: it cannot be laid out flat.
    """
    solid = build_solid(head)
    vertices = solid.vertices(head.neutral)
    region, guarded = regions(head, solid, masks), guard(head, solid)
    mirror = mirror_vertices(vertices)
    face = guard(head, solid, beside=0)
    layout = lay_out(vertices, solid.triangles, importance(solid, region, face), mirror)
    region[(region == SKIN) & (guard(head, solid, beside=_FACE) < 0.5)] = BEHIND
    return Head(
        triangles=solid.triangles,
        mirror=mirror,
        region=region,
        uv=layout.uv,
        uv_triangles=layout.triangles,
        guard=guarded,
    )


def write_head(head: Head, path: Path) -> None:
    """Write what `protome.mesh.shape.head.load_head` reads."""
    np.savez_compressed(path, **{name: getattr(head, name) for name in Head.__dataclass_fields__})
