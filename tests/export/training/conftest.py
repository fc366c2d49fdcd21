from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mesh(pretrained: Path) -> Path:
    return pretrained / "facemesh.npz"


@pytest.fixture(scope="session")
def selfie(pretrained: Path) -> Path:
    return pretrained / "selfie.npz"
