"""Detect the faces of a photo.

The detector runs on the photo at the smallest scale that suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from protome.errors import InvalidRequest
from protome.geometry import U8, Box

from .decode import Image
from .detector import run_detector
from .roll import CONFIDENT, LIKELY, Face, settle

# Longest sides, pixels. The first finds faces from about a twentieth of the photo's side; the
# second only pays where smaller faces would have pixels enough, or nothing was found.
COARSE: Final = 320
MEDIUM: Final = 640
TWO_PASSES: Final = 960
# Crowds: only when the medium pass found nothing or faces at the edge of what it can see.
LARGE: Final = 1280
EDGE: Final = 40
# When nothing is found: a margin for faces that fill the frame, then even contrast for faces in
# haze, in the dark, in one colour or in black dots on white. (longest side, margin as a share of
# it, even contrast)
LAST_RESORTS: Final = ((240, 0.25, False), (320, 0.25, True))


# Score from which a detection below the least score may be a turned face.
HINT: Final = 0.4
# Least score of a face that was not found in the upright photo: the more views are tried, the more
# patterns look like a face in one of them.
SEEN: Final = 0.85
# Most faces whose roll is looked for, largest first.
UNSURE: Final = 8


def detect(image: Image, *, min_score: float) -> list[Face]:
    """Detect the faces of a photo, at any roll.

    The photo is searched again in quarter turns only if it shows no likely upright face.

    Args:
        image: the photo.
        min_score: least confidence, 0 to 1.

    Returns:
        The faces, largest first. Their boxes may extend beyond the photo.
    """
    search = _Search(image, min_score)
    found = search.upright()
    kept = [face for face in found if face.score >= CONFIDENT]
    unsure = [face for face in found if face.score < CONFIDENT]
    kept += search.settle(unsure, [])
    kept += search.settle(search.hints, kept)
    if all(face.roll or face.score < LIKELY for face in kept):
        kept += search.settle(search.turned(), kept)
    if any(face.roll for face in kept):
        # What was taken for an upright face may be a part of a turned one.
        kept = _distinct(sorted(kept, key=lambda face: -face.score))
    return sorted(kept, key=lambda face: -face.box.area)


class _Search:
    """The detector's passes over one photo.

    ``hints`` are detections below the least score, given score 0.
    """

    def __init__(self, image: Image, min_score: float) -> None:
        self.hints: list[Face] = []
        self._image = image
        self._min_score = min_score
        self._pyramid = Pyramid(image)
        self._longest = max(image.pixels.shape[:2])

    def upright(self) -> list[Face]:
        """Find the faces of the photo as it is."""
        found = self._two_passes(0)
        if self._longest > LARGE and _crowded(found, self._longest):
            found = _merge(found, self._pass(LARGE))
        for side, margin, even in LAST_RESORTS:
            if not found:
                found = self._pass(side, 0, margin, even)
        return found

    def turned(self) -> list[Face]:
        """Find what may be faces in the photo in quarter turns, as faces of score 0."""
        self.hints = []
        found = [face for quarter in (1, 2, 3) for face in self._two_passes(quarter)]
        for side, margin, even in LAST_RESORTS:
            if not found and not self.hints:
                for quarter in (1, 2, 3):
                    found += self._pass(side, quarter, margin, even)
        return _distinct([*(replace(face, score=0.0) for face in found), *self.hints])

    def settle(self, faces: Sequence[Face], known: Sequence[Face]) -> list[Face]:
        """Find the roll of the largest of these faces.

        Faces of score 0 are kept only if they are sure in a turned view and not known already.
        """
        settled: list[Face] = []
        tries = UNSURE
        for face in sorted(faces, key=lambda face: -face.box.area):
            likely = [other for other in (*known, *settled) if other.score >= LIKELY]
            if not face.score and (not tries or not _apart(face, likely)):
                continue
            least = self._min_score if face.score else max(self._min_score, SEEN)
            found = face
            if tries:
                tries -= 1
                found = settle(self._image, face, least)
            new = face.score or found.roll or _apart(found, [*known, *settled])
            if new and found.score >= least:
                settled.append(found)
        return settled

    def _two_passes(self, quarter: int) -> list[Face]:
        found = self._pass(min(COARSE, self._longest), quarter)
        if self._longest > COARSE and (self._longest >= TWO_PASSES or not found):
            found = _merge(found, self._pass(min(MEDIUM, self._longest), quarter))
        return found

    def _pass(
        self, side: int, quarter: int = 0, margin: float = 0.0, even: bool = False
    ) -> list[Face]:
        """Run the detector, keep its faces and note its hints."""
        rows = _run(self._pyramid, side, quarter, margin, even)
        least = self._min_score
        hints = [replace(face, score=0.0) for face in rows if HINT <= face.score < least]
        self.hints += [face for face in hints if _apart(face, self.hints)]
        return [face for face in rows if face.score >= least]


def no_more_faces(image: Image, found: Sequence[Face]) -> bool:
    """Return whether detection at full size would find no more faces than these."""
    if max(image.pixels.shape[:2]) > LARGE:
        # It would scale the photo to the same sizes.
        return True
    longest = max(image.width, image.height)
    return bool(found) and (longest <= LARGE or not _crowded(found, longest))


def faces_from_boxes(boxes: Sequence[Box], width: int, height: int) -> list[Face]:
    """Return faces with the boxes that the client sent, checked against the photo's size in pixels.

    Raises:
        InvalidRequest: a box is not finite, has no area, or lies outside the photo.
    """
    faces = []
    for index, box in enumerate(boxes):
        sides = (box.x, box.y, box.width, box.height)
        centre = box.x + box.width / 2, box.y + box.height / 2
        longest, shortest = max(box.width, box.height), min(box.width, box.height)
        wrong = ""
        if not np.isfinite(sides).all() or shortest <= 0:
            wrong = "is not a rectangle"
        elif not (0 <= centre[0] <= width and 0 <= centre[1] <= height):
            wrong = "has its centre outside the photo"
        elif longest > 4 * max(width, height):
            wrong = "is over 4 times the photo"
        elif longest > 4 * shortest:
            wrong = "is over 4 times as long as wide"
        if wrong:
            raise InvalidRequest(
                f"boxes[{index}] {wrong}",
                field=f"boxes[{index}]",
                value=" ".join(f"{side:g}" for side in sides),
                width=width,
                height=height,
            )
        faces.append(Face(box, 1.0))
    return faces


def _crowded(found: Sequence[Face], longest: int) -> bool:
    sides = [face.box.width * MEDIUM / longest for face in found]
    return not sides or min(sides) < EDGE


class Pyramid:
    """Scales a photo to several sizes, sharing the repeated halvings, which are fast."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._halved = [image.pixels]

    def scaled(self, side: int) -> U8:
        """Return the photo with its longest side at ``side`` pixels."""
        height, width = self.image.pixels.shape[:2]
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        while max(self._halved[-1].shape[:2]) >= 2 * side and min(self._halved[-1].shape[:2]) > 1:
            h, w = self._halved[-1].shape[:2]
            half = cv2.resize(
                self._halved[-1], (-(-w // 2), -(-h // 2)), interpolation=cv2.INTER_AREA
            )
            self._halved.append(np.asarray(half, np.uint8))
        enough = (p for p in reversed(self._halved) if max(p.shape[:2]) >= side)
        pixels = next(enough, self.image.pixels)
        if size == (pixels.shape[1], pixels.shape[0]):
            return pixels
        how = cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _run(pyramid: Pyramid, side: int, quarter: int, margin: float, even: bool) -> list[Face]:
    """Run the detector on the photo in quarter turns.

    Args:
        pyramid: the photo.
        side: pixels to bring its longest side to.
        quarter: clockwise quarter turns of the photo, in which a head of such roll is upright.
        margin: black around it, as a share of ``side``.
        even: whether contrast is equalised.
    """
    image = pyramid.image
    height, width = image.pixels.shape[:2]
    small = pyramid.scaled(side)
    rows, columns = small.shape[:2]
    fx, fy = width / columns * image.step, height / rows * image.step
    if even:
        small = _even_contrast(small)
    if quarter:
        small = np.ascontiguousarray(np.rot90(small, -quarter))
    pad = round(margin * side)
    if pad:
        small = np.pad(small, ((pad, pad), (pad, pad), (0, 0)))
    faces = []
    for x, y, w, h, score in run_detector(small):
        left, top, right, down = _unturned(x - pad, y - pad, w, h, quarter, columns, rows)
        box = Box(image.left + left * fx, image.top + top * fy, right * fx, down * fy)
        faces.append(Face(box, score))
    return faces


def _unturned(
    x: float, y: float, w: float, h: float, quarter: int, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return a box of a picture in clockwise quarter turns in the picture itself, of this size."""
    if quarter == 1:
        return y, height - x - w, h, w
    if quarter == 2:
        return width - x - w, height - y - h, w, h
    if quarter == 3:
        return width - y - h, x, h, w
    return x, y, w, h


def _even_contrast(pixels: U8) -> U8:
    """Convert to grey with locally equalised contrast (CLAHE, Zuiderveld 1994), (h, w, 3).

    A blur first turns the dots of a halftone into greys, and takes noise away.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    grey = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(grey)
    return np.repeat(np.asarray(grey, np.uint8)[:, :, None], 3, axis=2)


def _merge(kept: list[Face], more: Sequence[Face]) -> list[Face]:
    """Add the new faces of a finer pass; a coarser pass places large faces better."""
    return kept + [face for face in more if _apart(face, kept)]


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Leave out the faces that overlap an earlier one."""
    kept: list[Face] = []
    for face in faces:
        kept = _merge(kept, [face])
    return kept


def _apart(face: Face, others: Sequence[Face]) -> bool:
    return all(_overlap(face, other) < 0.4 for other in others)


def _overlap(a: Face, b: Face) -> float:
    """Return the intersection divided by the smaller of the two areas."""
    width = min(a.box.x + a.box.width, b.box.x + b.box.width) - max(a.box.x, b.box.x)
    height = min(a.box.y + a.box.height, b.box.y + b.box.height) - max(a.box.y, b.box.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a.box.area, b.box.area)
