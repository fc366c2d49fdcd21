"""A photo on its way through the pipeline: its place, its faces and what was computed for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from protome.geometry import U8, Frame, Level
from protome.image.prepare import Photo
from protome.scheduling.forecast import Place
from protome.telemetry.metrics import Metrics

from .request import Request


@dataclass(frozen=True, slots=True)
class Kept:
    """A face on its way through the line: number, crop for the network, portrait for colours, and
    the part of both that shows the photo."""

    index: int
    frame: Frame
    crop: U8
    portrait: U8


class Spent:
    """What was computed for a photo: wasted if nobody is there to take the answer."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seconds = 0.0
        self._wasted = False

    def worker(self, seconds: float) -> None:
        """A worker was busy; may be told after the photo was given up."""
        self._metrics.work(seconds)
        if self._wasted:
            self._metrics.wasted(seconds)
        self._seconds += seconds

    def network(self, seconds: float) -> None:
        """The network was busy; :class:`Inference` counts that as work."""
        self._seconds += seconds

    def for_nobody(self) -> None:
        """All of it was, and is."""
        self._wasted = True
        self._metrics.wasted(self._seconds)


@dataclass(frozen=True, slots=True)
class Trip:
    """A request on its way."""

    request: Request
    place: Place
    spent: Spent


def kind_of(level: Level, request: Request) -> Hashable:
    """What meshes take depends on this."""
    budget = request.mesh_budget
    return level, request.encoding, budget.max_triangles > 0, budget.max_bytes > 0


def kept_faces(photo: Photo, pictures: Sequence[U8]) -> list[Kept]:
    """The faces that go on, with their pictures."""
    placed = [
        (index, found.placement.frame(photo.width, photo.height))
        for index, found in enumerate(photo.faces)
        if found.placement is not None
    ]
    pairs = zip(placed, pictures[0::2], pictures[1::2], strict=True)
    return [Kept(index, frame, crop, portrait) for (index, frame), crop, portrait in pairs]
