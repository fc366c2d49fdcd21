"""stub until h-kernel"""
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass(frozen=True, slots=True, eq=False)
class Head:
    triangles: np.ndarray
    mirror: np.ndarray
    region: np.ndarray
    uv: np.ndarray
    seam: np.ndarray
    guard: np.ndarray
