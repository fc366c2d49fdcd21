"""Which hair belongs to the head: what touches the scalp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protome.geometry import U8, Level
from protome.mesh.shape.head import Region
from protome.mesh.shape.surface import compose, supported
from tests.support.shapes import (
    CENTRE,
    balls,
    no_hair,
)


def test_hair_beside_a_bald_head_is_dropped() -> None:
    """Hair over a tenth of the scalp is the background; over half of it, it is hair."""
    plain, vertices = balls((60.0, CENTRE), finer=4)
    head = replace(plain, region=np.full_like(plain.region, Region.SCALP))
    order = np.argsort(vertices[:, 1])

    def hair_over(share: float) -> U8:
        hair = no_hair()
        spots = np.floor(vertices[order[: int(share * len(order))], ::-1] / 4).astype(int)
        hair[tuple(spots.T)] = 255
        return hair

    little, much = hair_over(0.1), hair_over(0.5)
    assert not supported(head, vertices, little).any()
    assert supported(head, vertices, much) is much
    bare = compose(head, vertices, no_hair(), Level.STANDARD)
    np.testing.assert_array_equal(
        compose(head, vertices, little, Level.STANDARD).vertices, bare.vertices
    )
    # A head without a scalp, or that is nowhere, keeps its hair.
    assert supported(plain, vertices, little) is little
    assert supported(head, np.full_like(vertices, np.nan), little) is little
