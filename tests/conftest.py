"""Fixtures that all tests share."""

from __future__ import annotations

import pytest

from protome.sample import SAMPLE


@pytest.fixture(scope="session")
def sample_photo() -> bytes:
    """NASA's portrait of Eileen Collins, a JPEG of 512 x 512 pixels with one face."""
    return SAMPLE.read_bytes()
