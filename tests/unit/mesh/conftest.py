"""Meshes for the tests of the encoders."""

from __future__ import annotations

import numpy as np
import pytest

from protome.geometry import Frame, Level
from protome.mesh.colour.mesh import Appearance, Mesh, apply_appearance
from protome.mesh.colour.vertex_quality import VertexQuality, rate_vertices
from protome.mesh.shape.surface import Surface
from tests.support.readers import Validator, install_validator
from tests.support.shapes import ball_surface
from tests.unit.mesh.meshes import crop


def _lopsided() -> Surface:
    """Two balls, so that swapped axes show."""
    return ball_surface((30.0, (80, 110, 45)), (20.0, (120, 80, 60)), level=Level.PREVIEW)


@pytest.fixture(scope="module")
def meshes() -> dict[Appearance, Mesh]:
    surface = _lopsided()
    return {appearance: apply_appearance(surface, appearance, crop()) for appearance in Appearance}


@pytest.fixture(scope="module")
def judged() -> dict[Appearance, Mesh]:
    """The same with the quality of each vertex, of many different values."""
    surface = _lopsided()
    confidence = ((surface.vertices[:, 0] + surface.vertices[:, 1]) / 400).astype(np.float32)
    quality = VertexQuality(rate_vertices(surface, Frame()).seen, confidence)
    return {look: apply_appearance(surface, look, crop(), quality=quality) for look in Appearance}


@pytest.fixture(scope="session")
def validator() -> Validator:
    return install_validator()
