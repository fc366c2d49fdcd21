"""What the tests of the encoders share."""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np

from protome.geometry import CROP_SIDE, U8
from protome.mesh.colour.mesh import Appearance, Mesh
from protome.mesh.files.encode import Compression, Encoding, Format, encode

NONE, DRACO, MESHOPT = Compression.NONE, Compression.DRACO, Compression.MESHOPT
# Sixteen thousandths of a millimetre: below what the formats round to.
EXACT: Final = 1e-6


def crop() -> U8:
    """A smooth picture; its colours tell places apart."""
    ramp = np.linspace(20, 230, CROP_SIDE)
    x, y = np.meshgrid(ramp, ramp)
    return np.round(np.stack([x, y, 250 - x], axis=2)).astype(np.uint8)


GLBS: Final = list(product(Compression, Appearance))


def glb(mesh: Mesh, compression: Compression, appearance: Appearance) -> bytes:
    return encode(mesh, Encoding(Format.GLB, compression, appearance)).data
