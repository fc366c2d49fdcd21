"""Plan an atlas on a coarse grid: which colours come from the photo and what fills the rest.

The atlas is blended in two bands (Burt and Adelson, "A multiresolution spline with application to
image mosaics", ACM TOG 1983). The coarse band is made here: the photo's colours where it shows the
head well, where it does not those of the mirrored place, corrected for the light, and elsewhere
colours of the same region spread from cell to cell (pull-push, Gortler et al., "The Lumigraph",
SIGGRAPH 1996). The fine band is the photo's detail, own or mirrored; the kernel adds it.

This is the reference in NumPy of what ``kernel/colour/plan.c`` and ``likeness.c`` do where
there is a compiler.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from protome.geometry import F32, U8

from .light import FLOOR, shade

# Groups of regions that are filled each from its own: skin with ears, neck, hair with scalp, lips,
# eyes; the neck and behind the jaw from the skin, mouth and nostrils with a dark tone of it.
SKIN, NECK, HAIR, LIPS, EYES, DARK = range(6)
# Shares of the photo so near to none or all are none or all: the kernel is faster then.
FAINT: Final = 0.06
# Cells from the middle of the face within which the rim of what is seen is taken off.
MIDDLE: Final = 4.0
# Shares of what is around a cell of the mouth, within so many cells, that the photo shows where the
# cell lies on the head's outline, and where it lies well within.
AROUND: Final = 3.0
HALF_SEEN: Final = 0.5
MOST_SEEN: Final = 0.75
# Colours of groups of which nothing is seen, as shares of the skin's.
TONES: Final = {
    HAIR: (0.35, 0.3, 0.3),
    LIPS: (0.9, 0.68, 0.66),
    EYES: (1.0, 1.0, 1.0),
    DARK: (0.32, 0.18, 0.16),
}
# Most that the light of the two sides of a head is taken to differ, as a logarithm.
UNEVEN: Final = 0.5
# Most that the neck's colour differs from the face's, seen hair's from its median, and a colour at
# the rim of seen skin or hair from the mean of what lies within, as logarithms: in tint, brighter,
# darker. The rest is collars and background.
LIKE_FACE: Final = (0.3, 0.25, 1.4)
LIKE_HAIR: Final = (0.6, 0.9, 2.0)
LIKE_INNER: Final = {(SKIN, NECK): (0.12, 0.3, 0.4), (HAIR,): (0.1, 0.4, 0.5)}
# Cells along each side of the square that this mean is of, and its least share of the photo.
INNER: Final = 7
FEW_INNER: Final = 1e-3
# Most that skin differs from the face, likewise, if it fills other cells although it is like hair.
LIKE_SOURCE: Final = (0.5, 0.6, 1.4)
# Largest difference from the face's mean colour, as logarithms, at which a colour on the hair's
# volume counts as skin: in tint, brighter, darker.
LIKE_SKIN: Final = (0.3, 0.4, 0.8)
# Shares of what is seen of the hair that are unlike skin: up to the first the median of all is the
# usual colour of the hair, from the second on that of what is unlike skin, and between a mean.
FEW_UNLIKE: Final = 0.1
ENOUGH_UNLIKE: Final = 0.3
# Cells over which the two sides of the seam at the back become equal.
SEAM: Final = 10


def plan(sums: F32, groups: U8, mouth: U8, facing: F32, rows: int, strip: int, /) -> bytearray:
    """Plan an atlas of (cells, cells).

    Args:
        sums: (cells, cells, 4), the photo's colours times their weights, and the weights, 0 to 1.
        groups: (cells, cells) uint8, the group of each cell.
        mouth: likewise, 1 in the mouth and next to it, else 0.
        facing: (cells, cells, 3), the direction that each faces, about unit.
        rows: cells of the head's island from top to bottom.
        strip: cells of the strips around it.

    Returns:
        The plan as the kernel's ``blend`` takes it, (cells, cells, 8) float32.
    """
    weight = sums[:, :, 3:]
    mean = np.asarray(sums[:, :, :3] / np.maximum(weight, 1e-4), np.float32)
    face = _mean(np.asarray(weight * mean, np.float32), weight, groups == SKIN)
    trusted = np.maximum(_trusted(mean, weight, groups, face), _trusted_mouth(weight, mouth))
    shown, lent = _is_head(mean, weight, groups, face)
    own, source = (np.asarray(trusted * share, np.float32) for share in (shown, lent))
    # Colours of other places are taken without their light, and lit as the place is.
    light = shade(facing, mean, (groups == SKIN) & (source[:, :, 0] > 0.5))
    plain = (mean + FLOOR) / light
    flipped = np.ascontiguousarray(plain[:, ::-1])
    other = np.ascontiguousarray(source[:, ::-1])
    mirrored = (1 - own) * other
    mirrored *= mirrored > FAINT
    seen = source * plain + mirrored * flipped * _balance(plain, flipped, source * other)
    total = source + mirrored
    only = own - source
    rest = 1 - total - only
    filled = (seen + only * plain + rest * _spread(seen, total, groups)) * light - FLOOR
    filled = np.clip(_closed(filled, rows, strip), 0, 255)
    sure = np.minimum(8 * weight, 1)
    local = np.clip(sure * mean + (1 - sure) * filled, 0, 255)
    planned = np.concatenate([filled, local, own, mirrored], axis=2)
    return bytearray(planned.astype(np.float32).tobytes())


def _trusted(mean: F32, weight: F32, groups: U8, face: F32 | None) -> F32:
    """Return the photo's share of each cell: small gaps closed, smooth.

    The rim of what is seen counts where it has the colours of what lies within. In profile the
    middle of the face lies on the head's outline, beside which the photo shows the background: it
    has no rim.
    """
    square = np.ones((3, 3), np.uint8)
    closed = cv2.erode(cv2.dilate(weight, square), square)
    away = np.abs(np.arange(len(groups)) + 0.5 - 0.5 * len(groups))
    middle = (away < MIDDLE) & (groups != HAIR)
    inner = np.asarray(cv2.erode(closed, square), np.float32)
    rim = np.where(middle, 0, _like_inner(mean, inner, groups, face) * (closed - inner))
    sure = np.asarray(inner + rim, np.float32)
    smooth = cv2.GaussianBlur(np.minimum(2 * sure, 1), (0, 0), 1.2)
    # The rest of a cell's rim does not come back with its neighbours' shares.
    smooth = (smooth * np.minimum(2 * sure / np.maximum(closed, 1e-9), 1))[:, :, None]
    return np.asarray(np.where(smooth > 1 - FAINT, 1, smooth) * (weight > 0.02), np.float32)


def _like_inner(mean: F32, inner: F32, groups: U8, face: F32 | None) -> F32:
    """Return how alike skin and hair are to what is seen of them within, 0 to 1; 0 for others.

    The volume of hair may reach over skin, so there what is like the face counts as well.
    """
    like: F32 = (groups == HAIR).astype(np.float32)
    for kind, most in LIKE_INNER.items():
        of_kind = np.isin(groups, kind)
        share = inner * of_kind
        sums = np.concatenate([share[:, :, None] * mean, share[:, :, None]], axis=2)
        sums = cv2.blur(sums, (INNER, INNER))
        where = of_kind & (sums[:, :, 3] > FEW_INNER)
        usual = np.asarray(sums[where, :3] / sums[where, 3:], np.float32)
        like[where] = _like(mean, where, usual, most)[where]
        if HAIR in kind and face is not None:
            on_face = _like(mean, where, face, LIKE_INNER[SKIN, NECK])
            np.maximum(like, on_face, out=like, where=where)
    return like


def _trusted_mouth(weight: F32, mouth: U8) -> F32:
    """Return the photo's share of the mouth's cells, 0 for others.

    The mouth is narrow: no rim of it is taken off, so that teeth stay. But in profile it lies on
    the head's outline, beside which the photo shows the background.
    """
    around = cv2.GaussianBlur(weight, (0, 0), AROUND)[:, :, None]
    within = np.clip((around - HALF_SEEN) / (MOST_SEEN - HALF_SEEN), 0, 1)
    return np.asarray(mouth[:, :, None] * np.minimum(2 * weight, 1) * within, np.float32)


def _is_head(mean: F32, weight: F32, groups: U8, face: F32 | None) -> tuple[F32, F32]:
    """Return which colours are the head's.

    Returns:
        (cells, cells, 1), 0 to 1, twice: how far a cell is shown, and how far other cells may take
        its colour. The volume of hair may reach over skin: where the photo shows skin, that is
        shown, but its colour does not fill other cells.
    """
    square = np.ones((3, 3), np.uint8)
    shown, lent = np.ones(groups.shape, np.float32), np.ones(groups.shape, np.float32)
    neck, hair = groups == NECK, groups == HAIR
    skin = np.zeros(groups.shape, np.float32)
    if face is not None:
        shown[neck] = cv2.erode(_like(mean, neck, face, LIKE_FACE), square)[neck]
        lent[neck] = shown[neck]
        skin[hair] = _like(mean, hair, face, LIKE_SKIN)[hair]
    seen = hair & (weight[:, :, 0] > 0.5)
    if seen.any():
        unlike = seen & (skin < 0.5)
        few = ENOUGH_UNLIKE - unlike.sum() / seen.sum()
        share = np.clip(few / (ENOUGH_UNLIKE - FEW_UNLIKE), 0, 1)
        usual = share * np.median(mean[seen], axis=0)
        if unlike.any():
            usual = usual + (1 - share) * np.median(mean[unlike], axis=0)
        if face is not None:
            # Hair over skin is shown where it is, but its colour does not fill other cells.
            on_skin = groups == SKIN
            other = 1 - _like(mean, on_skin, face, LIKE_SOURCE)
            lent *= 1 - _like(mean, on_skin, usual, LIKE_HAIR) * other
        like = _like(mean, hair, usual, LIKE_HAIR)
        both = np.maximum(like, skin)
        # Cells beside the background have some of it, so of those less is taken.
        shown[hair] = (both * np.clip(2 * cv2.blur(both, (3, 3)) - 1, 0, 1))[hair]
        lent[hair] = np.minimum(cv2.erode(like, square), shown)[hair]
    return shown[:, :, None], lent[:, :, None]


def _like(mean: F32, where: np.ndarray, usual: F32, most: tuple[float, float, float]) -> F32:
    """Return how alike cells are to the usual colour, 0 to 1, (cells, cells); 1 elsewhere.

    Args:
        mean: (cells, cells, 3).
        where: (cells, cells) bool, n of which are true.
        usual: (3,) or (n, 3).
        most: that they differ.
    """
    ratio = np.log((mean[where] + FLOOR) / (usual + FLOOR))
    light = ratio.mean(axis=1)
    tint, brighter, darker = most
    ramps = [
        (tint - np.abs(ratio - light[:, None]).max(axis=1)) / tint,
        (brighter - light) / brighter,
        (light + darker) / darker,
    ]
    like = np.ones(where.shape, np.float32)
    like[where] = np.clip(3 * np.minimum.reduce(ramps), 0, 1)
    return like


def _balance(plain: F32, flipped: F32, both: F32) -> F32:
    """Return the ratio of the two sides' light, from where both are seen to everywhere."""
    ratio = np.log(plain / flipped).mean(axis=2, keepdims=True)
    wide = cv2.GaussianBlur(np.concatenate([both * ratio, both], axis=2), (0, 0), 6)
    uneven = np.clip(wide[:, :, :1] / (wide[:, :, 1:] + 0.03), -UNEVEN, UNEVEN)
    return np.asarray(np.exp(uneven), np.float32)


def _spread(seen: F32, total: F32, groups: U8) -> F32:
    """Fill each cell from the seen cells of its group."""
    on_skin, on_hair = (groups == SKIN) | (groups == NECK), groups == HAIR
    sums = np.empty((*groups.shape, 2, 4), np.float32)
    for k, where in enumerate((on_skin, on_hair)):
        np.multiply(seen, where[:, :, None], out=sums[:, :, k, :3])
        np.multiply(total[:, :, 0], where, out=sums[:, :, k, 3])
    pulled = pull_push(sums)
    skin = _mean(seen, total, groups == SKIN)
    if skin is None:
        skin = _mean(seen, total, np.ones_like(on_skin))
    if skin is None:
        skin = np.full(3, 128 + FLOOR, np.float32)
    out = pulled[:, :, 0]
    if not sums[:, :, 0, 3].any():
        out[:] = skin
    for group, toned in TONES.items():
        where = groups == group
        colour = None if group == DARK else _mean(seen, total, where)
        if colour is not None and group == HAIR:
            np.copyto(out, pulled[:, :, 1], where=where[:, :, None])
        else:
            out[where] = skin * np.array(toned, np.float32) if colour is None else colour
    return np.asarray(cv2.blur(out, (3, 3)), np.float32)


def _mean(seen: F32, total: F32, where: np.ndarray) -> F32 | None:
    share = where.ravel().astype(np.float32)
    weight = float(share @ total.ravel())
    return None if weight < 0.5 else np.asarray(share @ seen.reshape(-1, 3) / weight, np.float32)


def pull_push(sums: F32) -> F32:
    """Fill the empty cells of square pictures from coarser ones.

    Args:
        sums: (s, s, k, 4), s a power of two: in each of k pictures the weighted sum of three
            channels, and the weight.

    Returns:
        (s, s, k, 3), the channels in all cells.
    """
    size, _, count, _ = sums.shape
    weight = sums[:, :, :, 3:]
    mean = sums[:, :, :, :3] / np.maximum(weight, 1e-4)
    if size == 1:
        return np.asarray(mean, np.float32)
    rows = sums[::2] + sums[1::2]
    coarse = pull_push(rows[:, ::2] + rows[:, 1::2]).reshape(size // 2, size // 2, -1)
    large = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    large = np.asarray(large, np.float32).reshape(size, size, count, 3)
    mean -= large
    mean *= np.minimum(weight, 1)
    large += mean
    return large


def _closed(filled: F32, rows: int, strip: int) -> F32:
    """Make the two sides of the seam equal, and the strips beside it go on beyond it."""
    head = filled[strip : rows - strip, strip : len(filled) - strip]
    y, x = (np.minimum(np.arange(k), np.arange(k)[::-1]) for k in head.shape[:2])
    near = np.clip(1 - np.minimum(y[:, None], x) / SEAM, 0, 1)[:, :, None] ** 2
    head = head + (0.5 * near) * (head[:, ::-1] - head)
    filled[:rows] = np.pad(head, ((strip, strip), (strip, strip), (0, 0)), mode="edge")
    return filled
