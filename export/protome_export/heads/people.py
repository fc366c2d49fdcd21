"""Widen a head model: ages, sexes, origins and facial features from MakeHuman's targets (CC0)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .makehuman import MakeHuman, person
from .model import ICT_VERTICES, Floats, HeadModel
from .transfer import mirrored, register

# Vertices of the ICT head and of MakeHuman's base that correspond: right half and midline. Found
# with Face Mesh on frontal pictures of both heads; the last four are picked on the ear.
_PAIRS: Final = (
    (966, 5225), (268, 262), (493, 232), (1914, 222), (2044, 223), (1401, 228), (978, 132),
    (4527, 131), (4942, 164), (4857, 294), (1140, 333), (2075, 314), (1147, 342), (1507, 1064),
    (1542, 6), (1537, 4865), (1528, 66), (1518, 6771), (1511, 6776), (5708, 425), (5695, 410),
    (2081, 457), (0, 463), (5518, 492), (5957, 480), (5841, 478), (5702, 444), (5711, 515),
    (5533, 520), (5517, 493), (5966, 481), (2190, 137), (1065, 5303), (4589, 276), (476, 5197),
    (4753, 5131), (4485, 5100), (170, 5145), (75, 184), (39, 218), (736, 188), (418, 166),
    (1136, 5139), (1941, 154), (1449, 5215), (1409, 3699), (212, 898), (942, 5151), (486, 176),
    (218, 258), (660, 157), (7571, 5413), (8120, 5445), (7846, 5428), (7948, 5440),
)  # fmt: skip

# Facial features: (folder/target, less, more); "*" stands for both sides together.
_FEATURES: Final = tuple(
    tuple(row.split())
    for row in """
    head/head-fat decr incr|head/head-scale-depth decr incr|head/head-scale-horiz decr incr
    head/head-scale-vert decr incr|head/head-back-scale-depth decr incr|head/head-oval - -
    head/head-round - -|head/head-rectangular - -|head/head-square - -|head/head-triangular - -
    head/head-invertedtriangular - -|head/head-diamond - -|forehead/forehead-nubian decr incr
    forehead/forehead-scale-vert decr incr|forehead/forehead-temple decr incr
    forehead/forehead-trans backward forward|cheek/*-cheek-bones decr incr
    cheek/*-cheek-inner decr incr|cheek/*-cheek-volume decr incr|cheek/*-cheek-trans down up
    chin/chin-bones decr incr|chin/chin-height decr incr|chin/chin-prognathism decr incr
    chin/chin-prominent decr incr|chin/chin-width decr incr|chin/chin-jaw-drop decr incr
    neck/neck-double decr incr|nose/nose-base down up|nose/nose-compression compress uncompress
    nose/nose-curve concave convex|nose/nose-flaring decr incr|nose/nose-greek decr incr
    nose/nose-hump decr incr|nose/nose-nostrils-width decr incr|nose/nose-point down up
    nose/nose-point-width decr incr|nose/nose-scale-depth decr incr
    nose/nose-scale-horiz decr incr|nose/nose-scale-vert decr incr|nose/nose-volume decr incr
    nose/nose-width1 decr incr|nose/nose-width2 decr incr|nose/nose-width3 decr incr
    mouth/mouth-scale-horiz decr incr|mouth/mouth-scale-vert decr incr|mouth/mouth-trans down up
    mouth/mouth-lowerlip-volume decr incr|mouth/mouth-upperlip-volume decr incr
    mouth/mouth-lowerlip-height decr incr|mouth/mouth-upperlip-height decr incr
    mouth/mouth-trans backward forward|eyes/*-eye-scale decr incr|eyes/*-eye-trans in out
    eyes/*-eye-trans down up|eyes/*-eye-height2 decr incr|eyes/*-eye-bag decr incr
    eyes/*-eye-epicanthus in out|eyes/*-eye-corner2 down up|ears/*-ear-scale decr incr
    ears/*-ear-wing decr incr|ears/*-ear-trans backward forward
    """.replace("\n", "|").split("|")
    if row.strip()
)


def _aligned(points: np.ndarray, at: NDArray[np.int64], like: np.ndarray) -> Floats:
    """Move, turn and scale a mesh (N, 3) so that its vertices ``at`` fit those of another."""
    a, b = points[at] - points[at].mean(0), like[at] - like[at].mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    u[:, 2] *= np.linalg.det(u @ vt)
    turn = u @ vt
    scale = np.trace(turn @ a.T @ b) / np.square(a).sum()
    out = (points - points[at].mean(0)) @ turn.T * scale + like[at].mean(0)
    return np.asarray(out, np.float32)


def _recipes() -> dict[str, dict[str, float]]:
    """Return the weighted targets of the mean adult ("") and of each mode's person."""
    adult = person("young")
    rows = {"": adult} | {age: person(age) for age in ("baby", "child", "old")}
    rows["male"] = person("young", sexes=("male",))
    rows |= {r: person("young", races=(r,)) for r in ("african", "asian", "caucasian")}
    for stem, less, more in _FEATURES:
        name = stem.split("/")[1].replace("*-", "")
        weights = dict(adult)
        for base in {stem.replace("*", side) for side in "lr"}:
            ends = {f"-{more}": 0.5, f"-{less}": -0.5} if less != "-" else {"": 1.0}
            weights |= {base + end: weight for end, weight in ends.items()}
        rows[name if less == "-" else f"{name}-{more}"] = weights
    return rows


def targets() -> set[str]:
    """Return the names of all targets needed."""
    return {name for weights in _recipes().values() for name in weights}


def source_modes(body: MakeHuman, at: NDArray[np.int64]) -> tuple[Floats, tuple[str, ...], Floats]:
    """Return the mean adult and the modes about it, on MakeHuman's mesh.

    Size and place are taken out by aligning the vertices ``at``.

    Returns:
        adult (N, 3) cm; names; displacements (K, N, 3) cm.
    """
    recipes = _recipes()
    adult = body.moved(recipes.pop(""))
    rows = [_aligned(body.moved(weights), at, adult) - adult for weights in recipes.values()]
    return adult, tuple(recipes), np.stack(rows).astype(np.float32)


def widen(head: HeadModel, body: MakeHuman, pairs: NDArray[np.int64] | None = None) -> HeadModel:
    """Add MakeHuman's modes to a head's identity modes.

    Args:
        head: an ICT head, unless ``pairs`` are given.
        body: MakeHuman's body, from whose targets the modes come.
        pairs: (P, 2) vertices of head and body that correspond.

    Raises:
        ValueError: the head was widened before, or has another topology.
    """
    if head.people:
        raise ValueError("the head has these modes already")
    if pairs is None and len(head.neutral) != ICT_VERTICES:
        raise ValueError("not the ICT light topology")
    chosen = np.array(_PAIRS, np.int64) if pairs is None else pairs
    chosen = mirrored(chosen, head.neutral, body.base)
    adult, names, modes = source_modes(body, chosen[:, 1])
    near = _near(body, adult, chosen[:, 1])
    moved = register(head, adult, near, chosen)(modes)
    return replace(head, identity=np.concatenate([head.identity, moved]), people=names)


def _near(body: MakeHuman, adult: Floats, at: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the triangles of head and neck."""
    lowest = adult[at, 1].min() - 0.8 * np.ptp(adult[at, 1])
    near = (adult[body.triangles][..., 1] > lowest).all(1)
    return np.asarray(body.triangles[near], np.int32)
