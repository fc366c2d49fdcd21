"""volume → surface is as fast as it is meant to be, against PyMCubes in the same run."""

from __future__ import annotations

import shutil

import pytest

from protome.bench.surface_speed import surface_speed
from protome.mesh.surface import BACKEND
from tests.support.shapes import sphere_volume


@pytest.mark.skipif(
    BACKEND == "PyMCubes" and shutil.which("cc") is None, reason="no compiler, so no kernel"
)
def test_the_kernel_is_many_times_as_fast_as_pymcubes() -> None:
    figures = surface_speed(sphere_volume(45.0), rounds=4)
    assert figures["surface_speedup_standard"] >= 6
    assert figures["surface_speedup_fine"] >= 10
    # Whether two cores are free is the machine's affair; that it is measured is ours.
    assert figures["surface_two_thread_scaling"] > 0
