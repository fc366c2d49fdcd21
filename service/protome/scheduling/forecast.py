"""Predict how long a photo will take, and refuse it if it cannot be done in time.

The pipeline is modelled as a backlog of work that is completed at a certain speed. Work is counted
in seconds of a stage, learned from the stages themselves: preparing a photo by its bytes, the
network by its faces, a mesh by its kind. The speed, in seconds of work per second, is learned while
more photos are in the pipeline than can be processed at a time; it includes the number of workers,
the share of the machine that the network uses, and other load on the machine.

A photo is refused before any work is done for it if the work ahead of it and its own stages would
take it past its deadline. When the pipeline is empty every photo is admitted, so that a wrong
estimate corrects itself. No I/O; the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from protome.errors import Overloaded

from .fair_queue import Turn
from .learned_times import Affine, Mean

# Safety factor on the predicted wait.
MARGIN: Final = 1.1
# Upper bound of :attr:`Forecast.stretch`.
MOST_STRETCH: Final = 3.0
# Seconds of saturation that give one observation of the speed.
WINDOW: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """A photo that asks to be admitted.

    Attributes:
        size: encoded bytes.
        faces: number of its faces, 0 if unknown.
        max_faces: most faces that are wanted.
        meshes: kinds of the meshes of each face; meshes of one kind take about the same time.
        deadline: on the forecast's clock.
        turn: its place among others.
    """

    size: int
    faces: int
    max_faces: int
    meshes: Sequence[Hashable]
    deadline: float
    turn: Turn


class Forecast:
    """Learns the times of the stages and keeps account of the backlog.

    Args:
        workers: processes that decode and mesh.
        network: seconds of a batch by its number of faces.
        clock: seconds, never backwards.
    """

    def __init__(self, *, workers: int, network: Affine, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._network = network
        self._clock = clock
        self._prepare = Affine()
        self._faces = Mean()
        self._mesh: dict[Hashable, Mean] = {}
        self._any_mesh = Mean()
        self._speed = Mean(0.3)
        self._stretch = Mean(0.05)
        self._scatter = Mean(0.05)
        self._places: set[Place] = set()
        self._window_began = 0.0
        self._window_work = 0.0

    @property
    def speed(self) -> float:
        """Seconds of work completed per second."""
        return self._speed.value if self._speed.known else float(self._workers)

    @property
    def stretch(self) -> float:
        """Time from the start of a photo to its first mesh over the sum of its stages, at least 1.

        It is above 1 because photos wait between the stages and cores are shared. Three mean
        deviations are added: with one, 1 in 20 photos that began just in time ended too late.
        """
        return min(max(1.0, self._stretch.value) + 3 * self._scatter.value, MOST_STRETCH)

    @property
    def backlog(self) -> float:
        """Seconds of work in the pipeline."""
        # A copy, because the thread that serves /metrics reads this too.
        return sum(place.left for place in tuple(self._places))

    def mesh_seconds(self, kinds: Sequence[Hashable]) -> float:
        """Return the predicted seconds of meshes of these kinds, one after the other."""
        return sum(self._mesh.get(kind, self._any_mesh).value for kind in kinds)

    def enter(self, order: Order) -> Place:
        """Admit a photo. The caller must call :meth:`Place.leave` in the end.

        Raises:
            Overloaded: it cannot be done in time.
        """
        place = Place(self, order, firm=not self._places)
        if not place.firm:
            self._refuse_late(place.left, order.turn, order.deadline)
        self._places.add(place)
        if len(self._places) == self._crowd:
            self._open_window()
        return place

    def check(self, deadline: float, stream: Hashable) -> None:
        """Refuse a photo before its bytes are read if even the smallest photo would be too late.

        Raises:
            Overloaded: not even the least possible work can be done in time.
        """
        if not self._places:
            return
        meshes = min((mean.value for mean in self._mesh.values()), default=0.0)
        least = self._prepare.predict(1) + self._network.predict(1) + meshes
        self._refuse_late(least, Turn(stream), deadline)

    def _refuse_late(self, work: float, turn: Turn, deadline: float) -> None:
        wait = MARGIN * self._ahead(turn) + self.stretch * work
        late = self._clock() + wait - deadline
        if late > 0:
            raise Overloaded("it cannot be done before the deadline", retry_seconds=late)

    @property
    def _crowd(self) -> int:
        # With fewer photos workers may be idle, and the speed would be underestimated.
        return 2 * self._workers + 1

    def _ahead(self, turn: Turn) -> float:
        """Return the seconds until the turn of a photo that arrives now."""
        streams: dict[Hashable, list[float]] = {}
        work = 0.0
        for place in self._places:
            other = place.order.turn
            if other.priority < turn.priority or other.stream is None:
                work += place.left if other.priority <= turn.priority else 0.0
            elif other.priority == turn.priority:
                streams.setdefault(other.stream, []).append(place.left)
        mine = streams.pop(turn.stream, [])
        own = len(mine)
        work += sum(mine)
        # Streams take turns: of another stream only as many photos go first as of this one.
        work += sum(sum(left) * min(1.0, (own + 1) / len(left)) for left in streams.values())
        return work / self.speed

    def _estimate(self, order: Order) -> tuple[float, float, float]:
        """Return the seconds of preparing, of the network for all faces, and of all meshes."""
        expected = self._faces.value if self._faces.known else 1.0
        faces = min(order.faces or expected, order.max_faces)
        meshes = faces * self.mesh_seconds(order.meshes)
        return self._prepare.predict(order.size), self._network.predict(1) * faces, meshes

    def _took(self, ratio: float, *, done: bool) -> None:
        # A photo that was cancelled would have taken longer than it did.
        if done or ratio > self._stretch.value:
            self._scatter.observe(abs(ratio - (self._stretch.value or ratio)))
            self._stretch.observe(ratio)

    def _open_window(self) -> None:
        self._window_began = self._clock()
        self._window_work = 0.0

    def _retire(self, work: float, *, known: bool) -> None:
        if len(self._places) < self._crowd:
            return
        if not known:
            # Its work is unknown; counted as zero it would lower the speed.
            self._open_window()
            return
        self._window_work += work
        seconds = self._clock() - self._window_began
        if seconds >= WINDOW:
            self._speed.observe(max(0.05, self._window_work / seconds))
            self._open_window()


class Place:
    """The work left for an admitted photo, and the latest times to begin its stages.

    ``firm`` is true for a photo that came to an empty pipeline: it is tried until its deadline.
    """

    def __init__(self, forecast: Forecast, order: Order, *, firm: bool) -> None:
        self.order = order
        self.firm = firm
        self._forecast = forecast
        self._prepare, self._network, self._meshes = estimate = forecast._estimate(order)
        # False before the time of every stage has been learned.
        self._known = min(estimate) > 0
        self._began: float | None = None
        self._first = 0.0

    @property
    def left(self) -> float:
        """Seconds of work still to do."""
        return self._prepare + self._network + self._meshes

    @property
    def begin_by(self) -> float:
        """Latest time to begin preparing the photo."""
        return self._until(self._forecast.stretch * self.left)

    @property
    def infer_by(self) -> float:
        """Latest time to begin the network on a face, so that its meshes are done in time."""
        meshes = self._forecast.mesh_seconds(self.order.meshes)
        return self._until(self._forecast._network.predict(1) + meshes)

    def mesh_by(self, kind: Hashable) -> float:
        """Return the latest time to begin a mesh of this kind."""
        return self._until(self._forecast.mesh_seconds([kind]))

    def prepared(self, seconds: float, faces: int) -> None:
        """Record that the photo was prepared in ``seconds`` and how many faces were cut out."""
        forecast = self._forecast
        forecast._prepare.observe(max(1, self.order.size), seconds)
        if not self.order.faces:
            forecast._faces.observe(faces)
        forecast._retire(self._prepare, known=self._known)
        self._began = forecast._clock() - seconds
        self._first = seconds + forecast._network.predict(1)
        self._prepare = 0.0
        self._network = forecast._network.predict(1) * faces
        self._meshes = faces * forecast.mesh_seconds(self.order.meshes)

    def inferred(self) -> None:
        """Record that the network is done with a face."""
        work = min(self._network, self._forecast._network.predict(1))
        self._forecast._retire(work, known=self._known)
        self._network -= work

    def built(self, kind: Hashable, seconds: float) -> None:
        """Record that a mesh of this kind was built in ``seconds``."""
        forecast = self._forecast
        work = min(self._meshes, forecast.mesh_seconds([kind]))
        forecast._retire(work, known=self._known)
        self._meshes -= work
        self._took(seconds, done=True)
        forecast._mesh.setdefault(kind, Mean()).observe(seconds)
        forecast._any_mesh.observe(seconds)

    def leave(self) -> None:
        """Record that the photo is done or cancelled; repeated calls have no effect."""
        self._forecast._places.discard(self)
        self._took(self._forecast.mesh_seconds(self.order.meshes[:1]), done=False)

    def _took(self, mesh: float, *, done: bool) -> None:
        """Learn from the time to the first mesh; later ones depend on how fast clients read."""
        stages = self._first + mesh
        if self._began is not None and stages > 0:
            self._forecast._took((self._forecast._clock() - self._began) / stages, done=done)
        self._began = None

    def _until(self, seconds: float) -> float:
        return self.order.deadline - (0.0 if self.firm else seconds)
