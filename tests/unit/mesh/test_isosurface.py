"""What stands in for the kernel: chosen where there is none, and as strict."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from protome.mesh import isosurface

WITHOUT_KERNEL = """
import sys
sys.modules["protome.mesh._kernel"] = None
import numpy as np
from protome.mesh import surface
volume = np.zeros((50, 48, 48), np.uint8)
volume[10:30, 10:30, 10:30] = 255
found = surface.extract(volume)
print(surface.BACKEND, surface.COMPILED, len(found.triangles))
"""


def test_it_is_used_where_the_kernel_cannot_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERNEL], capture_output=True, text=True, check=True
    )
    # Each face of the block: 19 x 19 whole squares; half of one more along each of its 12 edges.
    assert done.stdout.split() == ["PyMCubes", "False", str(6 * 19 * 19 * 2 + 12 * 19 * 2 + 8)]


def test_nothing_occupied_gives_nothing() -> None:
    parts = isosurface.extract(np.full((5, 6, 7), 127, np.uint8), (1.0, 1.0, 1.0), True)
    assert all(part.shape == (0, 3) for part in parts)


@pytest.mark.parametrize(
    ("volume", "voxel", "error"),
    [
        (np.zeros((4, 4, 4), np.float32), (1.0, 1.0, 1.0), TypeError),
        (np.zeros((4, 4), np.uint8), (1.0, 1.0, 1.0), ValueError),
        (np.zeros((4, 4, 4), np.uint8), (1.0, 0.0, 1.0), ValueError),
    ],
)
def test_malformed_arguments_are_refused(volume: Any, voxel: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        isosurface.extract(volume, voxel, True)
