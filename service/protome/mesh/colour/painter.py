"""Choose what draws: the compiled kernel, or NumPy where there is no compiler."""

from __future__ import annotations

from types import ModuleType

painter: ModuleType
try:
    from protome.mesh import _kernel as painter
except ImportError:
    from . import raster as painter

__all__ = ["painter"]
