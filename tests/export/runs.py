"""What the tests of a run share."""

from __future__ import annotations

from pathlib import Path

from protome_export.training.shape_space import ShapeSpace


def space_of(run: Path) -> ShapeSpace:
    """The shape space of a run."""
    return ShapeSpace.load(run / "run" / "space.npz")
