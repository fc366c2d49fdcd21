"""Read the static part of a head: triangles of its vertices and facts about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protome.geometry import F32, I32, U8


@dataclass(frozen=True, slots=True)
class Head:
    """STAND-IN, see helper kernel."""

    triangles: I32
    mirror: I32
    region: U8
    guard: F32


def load_head(path: Path) -> Head:
    """Read a head."""
    with np.load(path, allow_pickle=False) as file:
        return Head(file["triangles"], file["mirror"], file["region"], file["guard"])
