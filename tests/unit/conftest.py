"""Fixtures of the unit tests."""

from __future__ import annotations

import pytest

from protome.image.decode import Image, ImageLimits, decode
from protome.model.card import Model, load_model
from protome.model.engine import Engine


@pytest.fixture(scope="session")
def sample_image(sample_photo: bytes) -> Image:
    """The sample photo, decoded; do not write to its pixels."""
    return decode(sample_photo, ImageLimits(1 << 20, 1 << 20, 1 << 20), enough=1600)


@pytest.fixture(scope="session")
def model() -> Model:
    """The model that ships with the package."""
    return load_model()


@pytest.fixture(scope="session")
def engine(model: Model) -> Engine:
    """The shipped model on the CPU, one thread."""
    return Engine(model, provider="cpu", threads=1, max_batch=4)
