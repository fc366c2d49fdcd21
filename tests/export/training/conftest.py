from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.facemesh import write_small_mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mesh") / "mesh.npz"
    write_small_mesh(path)
    return path
