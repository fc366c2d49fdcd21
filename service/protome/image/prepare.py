"""Decode a photo, detect its faces and cut them out."""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from protome.errors import NoFaceFound
from protome.geometry import CROP_SIDE, U8, Box, CropRule, Placement, place

from .container import JPEG_MAGIC
from .crop import blur_effect, cut, reach
from .decode import Image, ImageLimits, decode
from .detector import run_detector
from .faces import COARSE, TWO_PASSES, detect, faces_from_boxes, no_more_faces
from .roll import Face, settle_given

# Longest side in pixels that detection and crops can use.
USEFUL_SIDE: Final = 1600
# Sides of the portrait that a texture is made from: each fills one of the texture's sides.
PORTRAITS: Final = (170, 341, 682, 1365)
# Side of the texture that the smallest of them fills.
FEWEST_TEXELS: Final = 256
# Most bytes of the portraits of a photo, and most pixels of a photo that is decoded finer for them.
PORTRAIT_BYTES: Final = 48 << 20
FINE_PIXELS: Final = 12_600_000
# A portrait of so many times the pixels is worth decoding the photo again.
SHARPER: Final = 1.5


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """How far a JPEG is reduced at first; it is decoded again if its faces turn out too small.

    Attributes:
        enough: longest side in pixels at which a face of usual size has enough pixels.
        pixels: decoded pixels across a crop that are enough to be as sharp as from a photo of
            ``USEFUL_SIDE``.
        most: pixels across a crop that are of use if the photo has them.
    """

    enough: int
    pixels: float
    most: int = 0


PLAIN_PLAN: Final = DecodePlan(TWO_PASSES, 1.25 * CROP_SIDE)


def warm_up() -> None:
    """Initialise the detector, so that the first photo does not take longer."""
    run_detector(np.full((COARSE, COARSE, 3), 128, np.uint8))


class Outcome(enum.IntEnum):
    """What became of a face; the values are those of protome.v1.FaceOutcome."""

    RECONSTRUCTED = 1
    OVER_MAX_FACES = 2
    TOO_SMALL = 3
    NO_SURFACE = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class PhotoJob:
    """Arguments of :func:`prepare`.

    Attributes:
        boxes: faces to use instead of detecting them, photo pixels.
        max_faces: most faces to cut out, largest first.
        min_face_pixels: least width of a face, photo pixels.
        min_score: least confidence of the detector, 0 to 1.
        limits: limits of the file and the picture.
        rule: maps a face's box to its crop.
        textured: whether a texture will be made from the portraits, which then have more pixels.
        max_texture_side: longest side of that texture, pixels; 0: no limit.
    """

    boxes: Sequence[Box]
    max_faces: int
    min_face_pixels: int
    min_score: float
    limits: ImageLimits
    rule: CropRule
    textured: bool
    max_texture_side: int = 0


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face of the photo.

    Attributes:
        face: as detected or given by the client.
        outcome: RECONSTRUCTED, or why the face is left out.
        placement: where its crop lies in the photo; None if the face is left out.
        blur: blur of its crop, see :func:`protome.image.crop.blur_effect`.
    """

    face: Face
    outcome: Outcome
    placement: Placement | None
    blur: float = 0.0


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """Result of :func:`prepare`: size in photo pixels, faces, and the seconds of each stage."""

    width: int
    height: int
    faces: Sequence[FoundFace]
    decode_seconds: float
    detect_seconds: float
    crop_seconds: float


def prepare(
    job: PhotoJob, inputs: Sequence[U8], plan: DecodePlan | None = None
) -> tuple[PreparedPhoto, list[U8]]:
    """Decode a photo, detect its faces and cut them out.

    Args:
        job: limits and options.
        inputs: one array, the encoded photo, (n,) uint8.
        plan: how far a JPEG is reduced; None: as its use allows.

    Returns:
        The photo, and two pictures, uint8 RGB, for each face with a placement, in order: the crop
        for the network, (208, 208, 3), and the portrait that colours are taken from, (s, s, 3).

    Raises:
        ProtomeError: the photo cannot be used, or shows no face.
    """
    image, found, decoding, detecting = _decode_and_detect(
        bytes(inputs[0]), job, plan or _plan_of(job)
    )
    if not found:
        raise NoFaceFound("the photo shows no face", width=image.width, height=image.height)
    t2 = time.perf_counter()
    most = _largest_portrait(job, sum(face.placement is not None for face in found))
    pictures: list[U8] = []
    for index, face in enumerate(found):
        if face.placement is not None:
            crop = cut(image, face.placement)
            pictures.append(crop)
            pictures.append(_portrait(image, face.placement, most) if job.textured else crop)
            found[index] = replace(face, blur=blur_effect(crop))
    t3 = time.perf_counter()
    photo = PreparedPhoto(image.width, image.height, found, decoding, detecting, t3 - t2)
    return photo, pictures


def _decode_and_detect(
    data: bytes, job: PhotoJob, plan: DecodePlan
) -> tuple[Image, list[FoundFace], float, float]:
    """Decode a photo and detect its faces at the smallest scale that suffices.

    A large JPEG usually has enough pixels at half its size. Whether it has is known once its faces
    are detected; if not, it is decoded again.

    Returns:
        The photo, its faces, seconds of decoding and of detection.
    """
    t0 = time.perf_counter()
    image = decode(
        data, job.limits, enough=plan.enough if data.startswith(JPEG_MAGIC) else USEFUL_SIDE
    )
    t1 = time.perf_counter()
    faces = _faces(image, job)
    found = [_admit(face, index, job) for index, face in enumerate(faces)]
    t2 = time.perf_counter()
    decoding, detecting = t1 - t0, t2 - t1
    detectable = image.step <= _useful_step(image)
    if image.step == 1 or (detectable and not plan.most) or not data.startswith(JPEG_MAGIC):
        return image, found, decoding, detecting
    known = detectable or bool(job.boxes) or no_more_faces(image, faces)
    places = [face.placement for face in found if face.placement]
    finer = _finer(image, places, known, plan)
    if finer >= image.step:
        return image, found, decoding, detecting
    t2 = time.perf_counter()
    part = _around([reach(place, finer) for place in places]) if known and places else None
    image = decode(data, job.limits, enough=max(image.width, image.height) // finer, part=part)
    t3 = time.perf_counter()
    if not known:
        faces = _faces(image, job)
        found = [_admit(face, index, job) for index, face in enumerate(faces)]
    return image, found, decoding + t3 - t2, detecting + time.perf_counter() - t3


def _around(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all boxes."""
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right = max(box.x + box.width for box in boxes)
    return Box(left, top, right - left, max(box.y + box.height for box in boxes) - top)


def _useful_step(image: Image) -> int:
    """Return how many of the photo's pixels one may cover for detection and crops."""
    return max(1, max(image.width, image.height) // USEFUL_SIDE)


def _finer(image: Image, placements: Sequence[Placement], known: bool, plan: DecodePlan) -> int:
    """Return how many of the photo's pixels a decoded one should cover along each side.

    Args:
        image: the photo as decoded at first.
        placements: of the faces' crops.
        known: whether no more faces can be found.
        plan: what crops need.
    """
    step = image.step
    across = [place.pixel * CROP_SIDE for place in placements]
    if not known or any(pixels / step < plan.pixels for pixels in across):
        step = min(step, _useful_step(image))
    useful = [
        max(1, int(SHARPER * pixels / min(pixels, plan.most))) for pixels in across if plan.most
    ]
    finest = math.ceil(math.sqrt(image.width * image.height / FINE_PIXELS))
    return min(step, max(min(useful, default=step), finest))


def _faces(image: Image, job: PhotoJob) -> list[Face]:
    if job.boxes:
        faces = faces_from_boxes(job.boxes, image.width, image.height)
        wanted = [settle_given(image, face, job.min_score) for face in faces[: job.max_faces]]
        return wanted + faces[job.max_faces :]
    return detect(image, min_score=job.min_score)


def _admit(face: Face, index: int, job: PhotoJob) -> FoundFace:
    if face.upright_box.width < job.min_face_pixels:
        return FoundFace(face, Outcome.TOO_SMALL, None)
    if index >= job.max_faces:
        return FoundFace(face, Outcome.OVER_MAX_FACES, None)
    return FoundFace(face, Outcome.RECONSTRUCTED, place(face.upright_box, job.rule, face.roll))


def _plan_of(job: PhotoJob) -> DecodePlan:
    return DecodePlan(1280, 512, _largest_portrait(job, 1)) if job.textured else PLAIN_PLAN


def _largest_portrait(job: PhotoJob, count: int) -> int:
    """Return the largest side of the portraits of so many faces."""
    most = max((s for s in PORTRAITS if 3 * s * s * count <= PORTRAIT_BYTES), default=PORTRAITS[0])
    if job.max_texture_side:
        fills = math.ceil(PORTRAITS[0] * job.max_texture_side / FEWEST_TEXELS)
        most = min(most, next((s for s in PORTRAITS if s >= fills), most))
    return most


def _portrait(image: Image, placement: Placement, most: int) -> U8:
    pixels = placement.pixel * CROP_SIDE / image.step
    side = next((s for s in PORTRAITS if s >= pixels), PORTRAITS[-1])
    return cut(image, placement, min(side, most))
