"""A photo on its way through the pipeline: its request, its faces and the work done for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from protome.geometry import U8, Frame, Level
from protome.image.prepare import FoundFace, PreparedPhoto
from protome.scheduling.forecast import Place
from protome.telemetry.metrics import Metrics

from .request import Request


@dataclass(frozen=True, slots=True)
class FaceTask:
    """A face to reconstruct.

    Attributes:
        index: its number in :attr:`PreparedPhoto.faces`.
        found: where and how it was found; it has a placement.
        frame: the part of crop and portrait that the photo covers, crop pixels.
        crop: (208, 208, 3) uint8 RGB for the network.
        portrait: (s, s, 3) uint8 RGB, the same square at the resolution that colours are taken at.
    """

    index: int
    found: FoundFace
    frame: Frame
    crop: U8
    portrait: U8


class WorkAccount:
    """Counts the work done for a photo, which is wasted if its answer is not delivered."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seconds = 0.0
        self._wasted = False

    def add_worker(self, seconds: float) -> None:
        """Add the time of a worker; may be called after the photo was given up."""
        self._metrics.work(seconds)
        if self._wasted:
            self._metrics.wasted(seconds)
        self._seconds += seconds

    def add_network(self, seconds: float) -> None:
        """Add the photo's share of a batch, which :class:`Inference` has counted as work."""
        self._seconds += seconds

    def mark_wasted(self) -> None:
        """Count all work done for the photo, and all that is still added, as wasted."""
        self._wasted = True
        self._metrics.wasted(self._seconds)


@dataclass(frozen=True, slots=True)
class PhotoRun:
    """A request in the pipeline, its place in the forecast and the work done for it."""

    request: Request
    place: Place
    work: WorkAccount


def mesh_kind(level: Level, request: Request) -> Hashable:
    """Return what the time of a mesh depends on."""
    budget = request.mesh_budget
    return level, request.encoding, budget.max_triangles > 0, budget.max_bytes > 0


def face_tasks(photo: PreparedPhoto, pictures: Sequence[U8]) -> list[FaceTask]:
    """Pair the faces that were cut out with their pictures, two for each: crop and portrait."""
    placed = [
        (index, found, found.placement.frame(photo.width, photo.height))
        for index, found in enumerate(photo.faces)
        if found.placement is not None
    ]
    pairs = zip(placed, pictures[0::2], pictures[1::2], strict=True)
    return [FaceTask(*place, crop, portrait) for place, crop, portrait in pairs]
