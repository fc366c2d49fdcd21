"""How long a photo will take, and whether it is worth beginning. Pure.

The line is seen as a backlog of work that is retired at a certain speed. Work is counted in
seconds of a stage, as learned from the stages themselves: preparing a photo by its bytes, the
network by its faces, a mesh by its kind. The speed, in such seconds a second, is learned while
more photos are in the line than can be worked on at a time; it holds how many workers there are,
what the network takes beside them, and what else the machine does.

A photo is refused before anything was done for it when what is ahead of it, and then its own way
through the line, would take it past its deadline. Whoever comes to an empty line is let in
whatever the estimates say, so that a wrong estimate is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from protome.errors import Overloaded

from .batcher import Due
from .fair_queue import Turn
from .learned_times import Affine, Mean

# What the wait is taken times to be on the safe side of a deadline.
MARGIN: Final = 1.1
# A photo once begun is not taken to need more than this times its stages.
MOST_STRETCH: Final = 3.0
# Seconds of saturation that make up one observation of the speed.
WINDOW: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """A photo as it comes in.

    Attributes:
        size: encoded bytes.
        faces: how many it has, 0 if unknown.
        max_faces: how many of them are wanted.
        meshes: of each face, by kind; a kind is anything whose meshes take alike.
        deadline: on the forecast's clock.
        turn: whose turn it waits for.
    """

    size: int
    faces: int
    max_faces: int
    meshes: Sequence[Hashable]
    deadline: float
    turn: Turn


class Forecast:
    """Learns the times of the stages and keeps the books of the backlog.

    Args:
        workers: that decode and mesh.
        network: seconds of a batch by its faces.
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
        """Seconds of work retired in a second."""
        return self._speed.value if self._speed.known else float(self._workers)

    @property
    def stretch(self) -> float:
        """How much longer than its stages a photo takes once it is begun: it waits between them,
        and cores are shared. On the safe side by three times the mean deviation: by once, one in
        twenty of a crowd that are begun just in time was too late in the end."""
        return min(max(1.0, self._stretch.value) + 3 * self._scatter.value, MOST_STRETCH)

    @property
    def backlog(self) -> float:
        """Seconds of work in the line."""
        # A copy: the thread that answers /metrics asks as well.
        return sum(place.left for place in tuple(self._places))

    def mesh_seconds(self, kinds: Sequence[Hashable]) -> float:
        """What meshes of these kinds take one after the other."""
        return sum(self._mesh.get(kind, self._any_mesh).value for kind in kinds)

    def enter(self, order: Order) -> Place:
        """Let a photo in; :meth:`Place.leave` must be called.

        Raises:
            Overloaded: it could not be done in time.
        """
        place = Place(self, order, firm=not self._places)
        if not place.firm:
            self._refuse_late(place.left, order.turn, order.deadline)
        self._places.add(place)
        if len(self._places) == self._crowd:
            self._open_window()
        return place

    def check(self, deadline: float, stream: Hashable) -> None:
        """Look at a photo that has not arrived: one that would be refused whatever it is need not.

        Raises:
            Overloaded: not even the least work there is could be done in time.
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
        # Fewer photos may leave workers idle, and then their speed says little.
        return 2 * self._workers + 1

    def _ahead(self, turn: Turn) -> float:
        """Seconds until the turn of a photo that came now."""
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
        # Of another stream's photos no more go first than would take turns with ours.
        work += sum(sum(left) * min(1.0, (own + 1) / len(left)) for left in streams.values())
        return work / self.speed

    def _estimate(self, order: Order) -> tuple[float, float, float]:
        """Seconds of preparing, of the network for all faces, of all meshes."""
        expected = self._faces.value if self._faces.known else 1.0
        faces = min(order.faces or expected, order.max_faces)
        meshes = faces * self.mesh_seconds(order.meshes)
        return self._prepare.predict(order.size), self._network.predict(1) * faces, meshes

    def _took(self, ratio: float, *, done: bool) -> None:
        # One that was given up would have taken longer than it did.
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
            # Counted as no work at all it would look as if the line stood still.
            self._open_window()
            return
        self._window_work += work
        seconds = self._clock() - self._window_began
        if seconds >= WINDOW:
            self._speed.observe(max(0.05, self._window_work / seconds))
            self._open_window()


class Place:
    """A photo's place in the line: what is left to do for it, and what it cost so far."""

    def __init__(self, forecast: Forecast, order: Order, *, firm: bool) -> None:
        self.order = order
        self.firm = firm
        self._forecast = forecast
        self._prepare, self._network, self._meshes = estimate = forecast._estimate(order)
        # False for the first photos of all, which came before any stage's time was learned.
        self._known = min(estimate) > 0
        self._began: float | None = None
        self._first = 0.0

    @property
    def left(self) -> float:
        """Seconds of work still to do."""
        return self._prepare + self._network + self._meshes

    @property
    def begin_by(self) -> float:
        """When it is too late to begin."""
        return self._until(self._forecast.stretch * self.left)

    @property
    def due(self) -> Due:
        """When its faces are wanted from the network."""
        meshes = self._forecast.mesh_seconds(self.order.meshes)
        return Due(self.order.deadline, meshes, self.firm)

    def mesh_by(self, kind: Hashable) -> float:
        """When it is too late to begin a mesh."""
        return self._until(self._forecast.mesh_seconds([kind]))

    def prepared(self, seconds: float, faces: int) -> None:
        """The photo is decoded; so many faces go on."""
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
        """A face is through the network."""
        work = min(self._network, self._forecast._network.predict(1))
        self._forecast._retire(work, known=self._known)
        self._network -= work

    def built(self, kind: Hashable, seconds: float) -> None:
        """A mesh is built."""
        forecast = self._forecast
        work = min(self._meshes, forecast.mesh_seconds([kind]))
        forecast._retire(work, known=self._known)
        self._meshes -= work
        self._took(seconds, done=True)
        forecast._mesh.setdefault(kind, Mean()).observe(seconds)
        forecast._any_mesh.observe(seconds)

    def leave(self) -> None:
        """The photo is done or given up."""
        self._forecast._places.discard(self)
        self._took(self._forecast.mesh_seconds(self.order.meshes[:1]), done=False)

    def _took(self, mesh: float, *, done: bool) -> None:
        """Learn from the way to the first mesh; behind it clients that read slowly count too."""
        stages = self._first + mesh
        if self._began is not None and stages > 0:
            self._forecast._took((self._forecast._clock() - self._began) / stages, done=done)
        self._began = None

    def _until(self, seconds: float) -> float:
        return self.order.deadline - (0.0 if self.firm else seconds)
