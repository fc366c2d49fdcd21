"""Building a surface is as fast as it is meant to be, against PyMCubes in the same run."""

from __future__ import annotations

import shutil

import pytest

from protome.bench.surface_speed import PosedHead, surface_speed
from protome.mesh.shape.surface import BACKEND
from tests.support.shapes import CENTRE, balls, no_hair


@pytest.mark.skipif(
    BACKEND == "PyMCubes" and shutil.which("cc") is None, reason="no compiler, so no kernel"
)
def test_the_kernel_is_many_times_as_fast_as_pymcubes() -> None:
    head, vertices = balls((65.0, CENTRE))
    figures = surface_speed(PosedHead(head, vertices, no_hair()), rounds=4)
    assert figures["surface_speedup_standard"] >= 1.7
    assert figures["surface_speedup_fine"] >= 4
    # Whether two cores are free is the machine's affair; that it is measured is ours.
    assert figures["surface_two_thread_scaling"] > 0
