"""Processes import large packages only where they use them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from protome.mesh.shape.surface import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="the kernel is not compiled")


@pytest.mark.parametrize("module", ["protome.server.serve", "protome.workers.worker"])
def test_importing_the_program_does_not_import_scipy_or_mcubes(module: str) -> None:
    program = f"import sys, {module}; print(*{{'scipy', 'mcubes'}} & {{*sys.modules}})"
    run = [sys.executable, "-c", program]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == []
