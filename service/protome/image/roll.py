"""Find out how a face is turned in the picture, from detections on a turned cut-out.

The detector is made for upright faces. It often finds a turned face too, as if it were upright (its
five landmarks say so as well), but never as surely as when the picture is turned to make the face
upright: the score as a function of the turn peaks at the face's own roll.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from protome.geometry import CROP_SIDE, U8, Box, Placement, turned

from .crop import cut
from .decode import Image
from .detector import run_detector

# The cut-out: its side in pixels, and in sizes (root of the box's area) of the face.
SIDE: Final = 160
REACH: Final = 2.6
# Cut once with room for every turn; the turns are cut from that.
WIDE: Final = 228
# Degrees between the turns that are tried.
STEP: Final = 30
# Degrees of roll up to which a crop stays as it is: the network is trained for nearly as much.
UPRIGHT: Final = 25.0
# Upright faces of this score are taken as they are; not one in a hundred turned faces reaches it.
CONFIDENT: Final = 0.91
# An upright face of this score is taken for one when no quarter turn comes near.
SURE: Final = 0.87
CLEAR: Final = 0.1
# A photo with an upright face of this score is not turned to look for others.
LIKELY: Final = 0.8
# Score of a face of which the detector has not said anything yet.
HARDLY: Final = 1e-3
# A turned view must be better than the upright one by this.
BETTER: Final = 0.02


@dataclass(frozen=True, slots=True)
class Face:
    """A face of a photo.

    Attributes:
        box: tight, from forehead to chin, photo coordinates.
        score: the detector's, 0 to 1.
        roll: degrees that the head is turned counter-clockwise in the picture; 0 for every face
            that needs no turned crop.
        head: the tight box in the picture turned about the box's centre so that the head is
            upright; None if ``roll`` is 0.
    """

    box: Box
    score: float
    roll: float = 0.0
    head: Box | None = None

    @property
    def upright_box(self) -> Box:
        """The box in the frame of the upright head, about its true centre in the photo."""
        return self.box if self.head is None else self.head


@dataclass(frozen=True, slots=True)
class _View:
    """The best detection in a turned cut-out: score, centre in the photo, size."""

    score: float
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def box(self) -> Box:
        """In the photo turned about its centre so that the head is upright."""
        return Box(self.x - self.width / 2, self.y - self.height / 2, self.width, self.height)


def settle(image: Image, face: Face, min_score: float) -> Face:
    """Find the roll of a face.

    Args:
        image: the photo.
        face: as found in the upright photo; of score 0 if it was found elsewhere or hardly.
        min_score: least score of a turned view.

    Returns:
        The face as it was if no turned view of it is surer. A face of score 0 gets box and score of
        its surest view, whose score may be too low.
    """
    views = _Views(image, face.box)
    upright = views.at(0)
    own = max(face.score, upright.score)
    if own >= CONFIDENT:
        return face if face.score else _face(upright, 0.0)
    quarters = [upright, *(views.at(turn) for turn in (90, 180, 270))]
    if own >= SURE and own > CLEAR + max(view.score for view in quarters[1:]):
        return face if face.score else _face(upright, 0.0)
    every = [quarters[t // 90] if t % 90 == 0 else views.at(t) for t in range(0, 360, STEP)]
    best, roll = _peak(every, 0.0)
    if abs(roll) > UPRIGHT and best.score >= max(min_score, own + BETTER):
        turned_face = _closer(image, best, roll)
        # A known face that turns out to be upright may be another face, beside this one.
        if abs(turned_face.roll) > UPRIGHT or not face.score:
            return turned_face
    if face.score:
        return face
    return _face(best if abs(roll) <= UPRIGHT else upright, 0.0)


def _closer(image: Image, view: _View, roll: float) -> Face:
    """Look for a turned face again where it was found: the first box was an upright one."""
    views = _Views(image, view.box)
    first = roll - 2 * STEP
    around = [views.at(first + STEP * i) for i in range(5)]
    again, better = _peak([_View(0.0), *around, _View(0.0)], first - STEP)
    if again.score >= view.score - CLEAR:
        view, roll = again, better
    last = views.at(roll)
    return _face(last if last.score >= view.score - CLEAR else view, roll)


def settle_given(image: Image, face: Face, min_score: float) -> Face:
    """Find the roll of a client's face; its box and score stay as they were given."""
    found = settle(image, Face(face.box, HARDLY), min_score)
    return Face(face.box, face.score, found.roll, found.head)


class _Views:
    """Turned views of one face; their scores are comparable, being of one size."""

    def __init__(self, image: Image, box: Box) -> None:
        self._x, self._y = box.x + box.width / 2, box.y + box.height / 2
        side = REACH * math.sqrt(box.area) * WIDE / SIDE
        corner = self._x - side / 2, self._y - side / 2
        self._pixel = side / WIDE
        self._wide: U8 = cut(image, Placement(*corner, side / CROP_SIDE), WIDE)

    def at(self, roll: float) -> _View:
        """Return the surest detection near the middle of the view that makes this roll upright."""
        middle = (WIDE - 1) / 2
        matrix = np.asarray(cv2.getRotationMatrix2D((middle, middle), -roll, 1.0), np.float64)
        matrix[:, 2] -= (WIDE - SIDE) / 2
        view = np.asarray(cv2.warpAffine(self._wide, matrix, (SIDE, SIDE)), np.uint8)
        best = _View(0.0)
        for x, y, width, height, score in run_detector(view):
            dx, dy = x + width / 2 - SIDE / 2, y + height / 2 - SIDE / 2
            if score > best.score and math.hypot(dx, dy) < SIDE / 4:
                dx, dy = turned(self._pixel * dx, self._pixel * dy, roll)
                size = self._pixel * width, self._pixel * height
                best = _View(score, self._x + dx, self._y + dy, *size)
        return best


def _peak(views: Sequence[_View], first: float) -> tuple[_View, float]:
    """Find the surest view and the roll at which a parabola through it and its neighbours peaks.

    Args:
        views: ``STEP`` degrees apart.
        first: roll of the first, degrees.
    """
    scores = [view.score for view in views]
    best = max(range(len(scores)), key=scores.__getitem__)
    before, after = scores[best - 1], scores[(best + 1) % len(scores)]
    bend = 2 * scores[best] - before - after
    off = 0.0 if bend <= 0 else min(max((after - before) / (2 * bend), -0.5), 0.5)
    return views[best], (first + STEP * (best + off) + 180) % 360 - 180


def _face(view: _View, roll: float) -> Face:
    head = view.box
    if not roll:
        return Face(head, view.score)
    # A face is an ellipse, whose bounds are tighter than those of its turned box.
    c, s = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    width = math.hypot(c * head.width, s * head.height)
    height = math.hypot(s * head.width, c * head.height)
    box = Box(view.x - width / 2, view.y - height / 2, width, height)
    return Face(box, view.score, roll, head)
