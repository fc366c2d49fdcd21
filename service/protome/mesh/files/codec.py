"""Choose what encodes with meshopt: the compiled kernel, or the package where no compiler was."""

from __future__ import annotations

from types import ModuleType

codec: ModuleType
try:
    from protome.mesh import _kernel as codec
except ImportError:
    from . import packaged as codec

__all__ = ["codec"]
