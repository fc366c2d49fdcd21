"""The photo's colour on hair, which has an island of its own in the atlas."""

from __future__ import annotations

import numpy as np

from protome.mesh.colour.texture import texture, vertex_colours
from tests.support.shapes import CENTRE

from .texture_inputs import hairy, lookup, off, plain


def test_hair_has_an_island_of_its_own() -> None:
    surface = hairy()
    on_hair = surface.source < 0
    assert on_hair.mean() > 0.2
    crop = plain((220, 170, 150))
    crop[: int(CENTRE[1]) - 12] = (60, 40, 20)
    made = texture(surface, crop, side=512)
    lower = made.uv[:, 1] > 0.5
    assert lower[on_hair[made.source]].all()
    corners = lower[made.triangles]
    assert (corners.all(axis=1) | ~corners.any(axis=1)).all(), "no triangle lies in both"
    shown = lookup(made)
    back = on_hair[made.source] & (surface.normals[made.source, 2] > 0.3)
    assert np.median(off(shown[back], (60, 40, 20))) < 20
    face = ~on_hair[made.source] & (surface.normals[made.source, 2] < -0.8)
    assert np.median(off(shown[face], (220, 170, 150))) < 10


def test_skin_in_the_place_of_hair_is_shown_but_not_spread() -> None:
    surface = hairy()
    hair, skin = (60, 40, 20), (220, 170, 150)
    crop = plain(skin)
    crop[: int(CENTRE[1]) - 28] = hair  # the hair's volume reaches over the forehead
    colours = vertex_colours(surface, crop)
    on_hair, z, y = surface.source < 0, surface.normals[:, 2], surface.vertices[:, 1]
    forehead = on_hair & (z < -0.5) & (np.abs(y - CENTRE[1] + 22) < 6)
    assert np.median(off(colours[forehead], skin)) < np.median(off(colours[forehead], hair)) / 2
    assert np.median(off(colours[on_hair & (z > 0.3)], hair)) < 10


def test_hair_that_goes_on_over_skin_is_shown_but_not_spread() -> None:
    surface = hairy()
    hair, skin = (24, 18, 14), (220, 170, 150)
    crop = plain(skin)
    crop[: int(CENTRE[1]) + 6] = hair  # the hair's volume ends above the fringe of the photo
    colours = vertex_colours(surface, crop)
    facing, y = surface.normals[:, 2] < -0.5, surface.vertices[:, 1] - CENTRE[1]
    on_skin = surface.source >= 0
    fringe = on_skin & facing & (y < 3)
    assert fringe.sum() > 50
    assert np.median(off(colours[fringe], hair)) < 10
    unseen = on_skin & (surface.normals[:, 2] > -0.05) & (y > 10)
    assert unseen.sum() > 50
    assert np.median(off(colours[unseen], skin)) < 20


def test_a_bright_background_is_not_part_of_dark_hair() -> None:
    surface = hairy()
    crop = plain((220, 170, 150))
    crop[: int(CENTRE[1]) - 12] = (60, 40, 20)
    crop[: int(CENTRE[1]) - 42] = (250, 250, 250)  # the hair's volume reaches beyond the hair
    colours = vertex_colours(surface, crop).astype(int)
    assert (colours[surface.source < 0] < 150).all(axis=1).mean() > 0.99
