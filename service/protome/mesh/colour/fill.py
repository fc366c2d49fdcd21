"""Plan an atlas on a coarse grid: which colours come from the photo and what fills the rest.

The atlas is blended in two bands (Burt and Adelson, "A multiresolution spline with application to
image mosaics", ACM TOG 1983). The coarse band is made here: the photo's colours where it shows the
head well, where it does not those of the mirrored place, corrected for the light, and elsewhere
colours of the same region spread from cell to cell (pull-push, Gortler et al., "The Lumigraph",
SIGGRAPH 1996). The fine band is the photo's detail, own or mirrored; the kernel adds it.
"""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
from scipy.spatial import cKDTree

from protome.geometry import F32, U8
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface

from .atlas import CELLS, SHARE, STRIP, in_layout, middles
from .light import FLOOR, shade

# Groups of regions that are filled each from its own: skin with ears, neck, hair with scalp, lips,
# eyes; the neck and behind the jaw from the skin, mouth and nostrils with a dark tone of it.
SKIN, NECK, HAIR, LIPS, EYES, DARK = range(6)
GROUPS: Final = np.array([SKIN, LIPS, EYES, DARK, DARK, SKIN, HAIR, NECK])
# Shares of the photo so near to none or all are none or all: the kernel is faster then.
FAINT: Final = 0.06
# Colours of groups of which nothing is seen, as shares of the skin's.
TONES: Final = {
    HAIR: (0.35, 0.3, 0.3),
    LIPS: (0.9, 0.68, 0.66),
    EYES: (1.0, 1.0, 1.0),
    DARK: (0.32, 0.18, 0.16),
}
# Most that the light of the two sides of a head is taken to differ, as a logarithm.
UNEVEN: Final = 0.5
# Most that the neck's colour differs from the face's, as logarithms: in tint, brighter, darker.
TINT: Final = 0.45
BRIGHTER: Final = 0.5
DARKER: Final = 1.4
# Share of the local colour in what is filled of the hair, beside its mean.
EVEN: Final = 0.35
# Cells over which the two sides of the seam at the back become equal.
SEAM: Final = 10


def plan(sums: F32, surface: Surface, hairy: bool) -> tuple[U8, F32]:
    """Plan an atlas.

    Args:
        sums: (CELLS, CELLS, 4), the photo's colours times their weights, and the weights, 0 to 1.
        surface: what is painted; of it the head and its pose count.
        hairy: whether the atlas has the hair's island.

    Returns:
        The base colours, (CELLS, CELLS, 3) uint8, and the plan as the kernel's ``blend`` takes it,
        (CELLS, CELLS, 5) float32.
    """
    weight = sums[:, :, 3:]
    mean = np.asarray(sums[:, :, :3] / np.maximum(weight, 1e-4), np.float32)
    groups = regions(surface.head, hairy)
    trusted = _trusted(weight, groups)
    # The mouth is narrow: nothing of it is taken off, so that teeth stay.
    mouth = mouth_cells(surface.head, hairy)[:, :, None]
    trusted = np.maximum(trusted, mouth * np.minimum(2 * weight, 1))
    own = np.asarray(trusted * _is_skin(mean, weight, groups), np.float32)
    # Colours of other places are taken without their light, and lit as the place is.
    light = shade(surface, hairy, mean, (groups == SKIN) & (own[:, :, 0] > 0.5))
    plain = (mean + FLOOR) / light
    flipped = np.ascontiguousarray(plain[:, ::-1])
    other = np.ascontiguousarray(own[:, ::-1])
    mirrored = (1 - own) * other
    mirrored *= mirrored > FAINT
    seen = own * plain + mirrored * flipped * _balance(plain, flipped, own * other)
    total = own + mirrored
    filled = (seen + (1 - total) * _spread(seen, total, groups)) * light - FLOOR
    filled = np.clip(_closed(filled, hairy), 0, 255)
    base = np.round(filled).astype(np.uint8)
    sure = np.minimum(8 * weight, 1)
    local = np.clip(sure * mean + (1 - sure) * filled, 0, 255)
    return base, np.concatenate([local, own, mirrored], axis=2).astype(np.float32)


@functools.lru_cache(4)
def mouth_cells(head: Head, hairy: bool) -> F32:
    """Return 1 for cells of lips and inner mouth and next to them, 0 elsewhere, (CELLS, CELLS)."""
    mouth = np.isin(regions(head, hairy), (LIPS, DARK)).astype(np.float32)
    return np.asarray(cv2.dilate(mouth, np.ones((3, 3), np.uint8)), np.float32)


def _trusted(weight: F32, groups: U8) -> F32:
    """Return the photo's share of each cell: small gaps closed, the rim off, wide and smooth."""
    square = np.ones((3, 3), np.uint8)
    closed = cv2.erode(cv2.dilate(weight, square), square)
    # Hair is seen in narrow strips, which have no rim to lose.
    open_ = np.where(groups == HAIR, closed, cv2.erode(closed, square))
    smooth = cv2.GaussianBlur(np.minimum(1.5 * open_, 1), (0, 0), 1.2)[:, :, None]
    return np.asarray(np.where(smooth > 1 - FAINT, 1, smooth) * (weight > 0.02), np.float32)


def _is_skin(mean: F32, weight: F32, groups: U8) -> F32:
    """Return 0 for cells of the neck whose colour is far from the face's, 1 for others."""
    out = np.ones((CELLS, CELLS, 1), np.float32)
    face = _mean(np.asarray(weight * mean, np.float32), weight, groups == SKIN)
    if face is not None:
        ratio = np.log((mean + FLOOR) / (face + FLOOR))
        light = ratio.mean(axis=2, keepdims=True)
        tint = np.abs(ratio - light).max(axis=2, keepdims=True)
        ramps = [(TINT - tint) / TINT, (BRIGHTER - light) / BRIGHTER, (light + DARKER) / DARKER]
        like = np.clip(3 * np.minimum.reduce(ramps), 0, 1)
        neck = (groups == NECK)[:, :, None]
        eroded = cv2.erode(np.where(neck, like, 1), np.ones((3, 3), np.uint8))[:, :, None]
        out = np.asarray(np.where(neck, eroded, 1), np.float32)
    return out


def _balance(plain: F32, flipped: F32, both: F32) -> F32:
    """Return the ratio of the two sides' light, from where both are seen to everywhere."""
    ratio = np.log(plain / flipped).mean(axis=2, keepdims=True)
    wide = cv2.GaussianBlur(np.concatenate([both * ratio, both], axis=2), (0, 0), 6)
    uneven = np.clip(wide[:, :, :1] / (wide[:, :, 1:] + 0.03), -UNEVEN, UNEVEN)
    return np.asarray(np.exp(uneven), np.float32)


def _spread(seen: F32, total: F32, groups: U8) -> F32:
    """Fill each cell from the seen cells of its group."""
    on_skin = ((groups == SKIN) | (groups == NECK))[:, :, None]
    on_hair = (groups == HAIR)[:, :, None]
    pulled = pull_push(
        np.concatenate(
            [on_skin * seen, on_skin * total, on_hair * seen, on_hair * total], axis=2
        ).astype(np.float32)
    )
    everywhere = np.ones((CELLS, CELLS), np.bool_)
    skin = _mean(seen, total, groups == SKIN)
    if skin is None:
        skin = _mean(seen, total, everywhere)
    if skin is None:
        skin = np.full(3, 128 + FLOOR, np.float32)
    out = np.empty_like(seen)
    out[:] = pulled[:, :, :3] if total[on_skin].any() else skin
    for group, toned in TONES.items():
        where = groups == group
        colour = None if group == DARK else _mean(seen, total, where)
        if colour is not None and group == HAIR:
            # Scalp and hair lie side by side on the head, but not in the atlas.
            out[where] = colour + EVEN * (pulled[where][:, 4:7] - colour)
        else:
            out[where] = skin * np.array(toned, np.float32) if colour is None else colour
    return np.asarray(cv2.blur(out, (3, 3)), np.float32)


def _mean(seen: F32, total: F32, where: np.ndarray) -> F32 | None:
    weight = float(total[where].sum())
    return None if weight < 0.5 else np.asarray(seen[where].sum(axis=0) / weight, np.float32)


def pull_push(sums: F32) -> F32:
    """Fill the empty cells of a square picture from coarser ones.

    Args:
        sums: (s, s, 4 k), s a power of two: weighted sums of three channels and the weight of each.

    Returns:
        The channels in all cells; 0 instead of the weights.
    """
    size = len(sums)
    if size == 1:
        coarse = sums
    else:
        half = sums.reshape(size // 2, 2, size // 2, 2, -1).sum(axis=(1, 3))
        large = cv2.resize(pull_push(half), (size, size), interpolation=cv2.INTER_LINEAR)
        coarse = np.asarray(large, np.float32)
    out = np.zeros_like(sums)
    for k in range(0, sums.shape[2], 4):
        weight = sums[:, :, k + 3 : k + 4]
        trust = np.minimum(weight, 1)
        mean = sums[:, :, k : k + 3] / np.maximum(weight, 1e-4)
        rest = coarse[..., k : k + 3] if size > 1 else mean
        out[:, :, k : k + 3] = trust * mean + (1 - trust) * rest
    return out


def _closed(filled: F32, hairy: bool) -> F32:
    """Make the two sides of the seam equal, and the strips beside it go on beyond it."""
    rows = int(CELLS * SHARE) if hairy else CELLS
    strip = int(CELLS * STRIP)
    head = filled[strip : rows - strip, strip:-strip]
    y, x = (np.minimum(np.arange(k), np.arange(k)[::-1]) for k in head.shape[:2])
    near = np.clip(1 - np.minimum(y[:, None], x) / SEAM, 0, 1)[:, :, None] ** 2
    head = head + (0.5 * near) * (head[:, ::-1] - head)
    filled[:rows] = np.pad(head, ((strip, strip), (strip, strip), (0, 0)), mode="edge")
    return filled


@functools.lru_cache(maxsize=4)
def regions(head: Head, hairy: bool) -> U8:
    """Return the group of each cell, (CELLS, CELLS) uint8."""
    vertex = np.zeros(len(head.uv), np.intp)
    vertex[head.uv_triangles.ravel()] = head.triangles.ravel()
    nearest = np.asarray(cKDTree(head.uv).query(in_layout(hairy))[1])
    groups = GROUPS[head.region[vertex[nearest]]]
    # Behind the jaw as well the photo may show what is not the head.
    unsure = (head.guard[vertex[nearest]] < 0.5) & (in_layout(hairy)[:, :, 1] > 0.5)
    groups[unsure & (groups == SKIN)] = NECK
    if hairy:
        groups[middles()[1] > SHARE] = HAIR
    return groups.astype(np.uint8)
