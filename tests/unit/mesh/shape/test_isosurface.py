"""What stands in for the kernel: chosen where there is none, and as strict."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from protome.mesh.shape import isosurface

from .composing import MALFORMED, Arguments, arguments

WITHOUT_KERNEL = """
import sys
sys.modules["protome.mesh._kernel"] = None
from protome.mesh.shape import surface
from tests.support.shapes import sphere
found = sphere(40.0)
print(surface.BACKEND, surface.COMPILED, len(found.triangles), found.source.min())
"""


def test_it_is_used_where_the_kernel_cannot_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERNEL], capture_output=True, text=True, check=True
    )
    backend, compiled, triangles, source = done.stdout.split()
    assert (backend, compiled) == ("PyMCubes", "False")
    # A ball of radius 40 has 20,106 square px; marching cubes makes about 0.75 triangles a px.
    assert 14_000 < int(triangles) < 16_500
    assert int(source) >= 0


def test_nothing_gives_nothing() -> None:
    parts = isosurface.compose(*arguments())
    assert [len(part) for part in parts] == [0] * 5


@pytest.mark.parametrize(("changes", "error"), MALFORMED)
def test_malformed_arguments_are_refused(changes: Arguments, error: type[Exception]) -> None:
    with pytest.raises(error):
        isosurface.compose(*arguments(**changes))


def test_triangles_larger_than_a_heads_are_refused() -> None:
    corners = np.array([[0, 0, 0], [400, 0, 0], [0, 400, 0], [0, 0, 400]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    many = np.tile(faces, (500, 1))
    with pytest.raises(OverflowError):
        isosurface.compose(*arguments(vertices=corners, triangles=many, step=1))
