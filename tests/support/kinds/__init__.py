"""Hundreds of kinds of file, and what the service makes of each."""

from __future__ import annotations

from typing import Final

from . import heif, jpeg, others, png, webp
from .base import FACE, PHOTO, Kind

KINDS: Final[dict[str, Kind]] = {
    **jpeg.KINDS,
    **png.KINDS,
    **webp.KINDS,
    **heif.KINDS,
    **others.KINDS,
}

__all__ = ["FACE", "KINDS", "PHOTO", "Kind"]
