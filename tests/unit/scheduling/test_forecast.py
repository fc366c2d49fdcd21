"""The forecast: refuses what cannot be done in time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from protome.errors import Overloaded
from protome.scheduling.fair_queue import Turn
from protome.scheduling.forecast import MARGIN, MOST_STRETCH, Forecast, Order, Place
from protome.scheduling.learned_times import Affine

INFINITE = float("inf")
PREPARE, NETWORK, MESH = 0.02, 0.03, 0.05
PHOTO = PREPARE + NETWORK + MESH


@dataclass
class Rig:
    """A forecast that knows its stages, on a clock of its own."""

    now: float = 100.0

    def __post_init__(self) -> None:
        self.network = Affine()
        self.network.observe(1, NETWORK)
        self.forecast = Forecast(workers=2, network=self.network, clock=lambda: self.now)
        self.finish(self.enter())

    def enter(self, seconds: float = INFINITE, turn: Turn | None = None, faces: int = 0) -> Place:
        order = Order(1000, faces, 16, ["standard"], self.now + seconds, turn or Turn())
        return self.forecast.enter(order)

    def finish(self, place: Place, extra: float = 0.0) -> None:
        place.prepared(PREPARE, 1)
        self.now += NETWORK + MESH + extra
        place.inferred()
        place.built("standard", MESH)
        place.leave()


def test_an_empty_line_lets_anybody_in() -> None:
    rig = Rig()
    place = rig.enter(0.001)
    assert place.firm
    assert place.begin_by == place.infer_by == place.mesh_by("standard") == rig.now + 0.001
    with pytest.raises(Overloaded):
        rig.enter(0.001)
    place.leave()
    assert rig.enter(0.001).firm


def test_a_burst_on_a_fresh_server_teaches_no_wrong_speed() -> None:
    rig = Rig()
    rig.network = Affine()
    rig.forecast = Forecast(workers=2, network=rig.network, clock=lambda: rig.now)
    burst = [rig.enter() for _ in range(20)]
    # Nothing is known of their stages yet; they take over a window of saturation.
    for place in burst:
        rig.network.observe(1, NETWORK)
        rig.finish(place)
    assert rig.forecast.speed == 2
    waiting = [rig.enter(20.0) for _ in range(20)]
    assert len(waiting) == 20


def test_the_backlog_is_what_is_left_to_do() -> None:
    rig = Rig()
    first, second = rig.enter(), rig.enter()
    assert rig.forecast.backlog == pytest.approx(2 * PHOTO)
    first.prepared(PREPARE, 1)
    assert rig.forecast.backlog == pytest.approx(2 * PHOTO - PREPARE)
    first.inferred()
    first.built("standard", MESH)
    assert rig.forecast.backlog == pytest.approx(PHOTO)
    first.leave()
    second.leave()
    second.leave()
    assert rig.forecast.backlog == 0


def test_faces_count_once_they_are_known() -> None:
    rig = Rig()
    place = rig.enter()
    place.prepared(PREPARE, 5)
    assert place.left == pytest.approx(5 * (NETWORK + MESH))
    boxes = rig.enter(faces=7)
    assert boxes.left == pytest.approx(PREPARE + 7 * (NETWORK + MESH))


def test_a_photo_is_refused_once_too_much_is_ahead_of_it() -> None:
    rig = Rig()
    admitted = 0
    problem = None
    while problem is None:
        try:
            rig.enter(1.0)
            admitted += 1
        except Overloaded as error:
            problem = error
    # Two workers retire two seconds of work a second.
    assert admitted == pytest.approx((1.0 - PHOTO) / MARGIN * 2 / PHOTO, abs=1.01)
    assert 0 < problem.retry_seconds < 1
    assert not rig.enter(INFINITE).firm


@pytest.mark.parametrize("ahead", [0, 1, 5, 40])
@pytest.mark.parametrize("seconds", [0.01, 0.2, 0.5, 1.0, 3.0])
def test_what_is_refused_unseen_would_be_refused_when_seen(ahead: int, seconds: float) -> None:
    rig = Rig()
    for _ in range(ahead):
        rig.enter()
    unseen = _refused(lambda: rig.forecast.check(rig.now + seconds, None))
    seen = _refused(lambda: rig.enter(seconds))
    assert seen >= unseen
    # And little more: what is not known of it is less than a photo's work.
    assert (seen > MOST_STRETCH * PHOTO) <= (unseen > 0)


def _refused(ask: Callable[[], object]) -> float:
    """How much too late it would be, 0 if it is let in."""
    try:
        ask()
    except Overloaded as refused:
        return refused.retry_seconds or 0.0
    return 0.0


def test_a_stream_does_not_fill_the_line_for_others() -> None:
    rig = Rig()
    for _ in range(30):
        rig.enter(turn=Turn("greedy"))
    with pytest.raises(Overloaded):
        rig.enter(0.5, Turn("greedy"))
    rig.enter(0.5, Turn("modest"))
    rig.enter(0.5)


def test_the_background_is_not_ahead_of_the_interactive() -> None:
    rig = Rig()
    for _ in range(30):
        rig.enter(turn=Turn(priority=1))
    rig.enter(0.5)
    with pytest.raises(Overloaded):
        rig.enter(0.5, Turn(priority=1))


@pytest.mark.parametrize("speed", [0.5, 2.0, 4.0])
def test_the_speed_is_learned_from_a_crowded_line(speed: float) -> None:
    rig = Rig()
    assert rig.forecast.speed == 2
    crowd = [rig.enter() for _ in range(400)]
    for place in crowd:
        rig.now += PHOTO / speed
        place.prepared(PREPARE, 1)
        place.inferred()
        place.built("standard", MESH)
        place.leave()
    assert rig.forecast.speed == pytest.approx(speed, rel=0.1)


def test_an_idle_line_says_nothing_about_its_speed() -> None:
    rig = Rig()
    for _ in range(100):
        rig.now += 5
        rig.finish(rig.enter())
    assert rig.forecast.speed == 2


def test_photos_given_up_are_not_work_done() -> None:
    rig = Rig()
    crowd = [rig.enter() for _ in range(100)]
    for place in crowd:
        rig.now += 0.1
        place.leave()
    assert rig.forecast.backlog == 0
    assert rig.forecast.speed == 2


def test_estimates_follow_the_machine() -> None:
    rig = Rig()
    for _ in range(200):
        place = rig.enter()
        place.prepared(3 * PREPARE, 1)
        place.inferred()
        place.built("standard", 3 * MESH)
        place.leave()
    assert rig.enter().left == pytest.approx(3 * PREPARE + NETWORK + 3 * MESH, rel=0.05)


def test_waits_between_the_stages_are_learned() -> None:
    rig = Rig()
    keeper = rig.enter()
    assert rig.forecast.stretch == pytest.approx(1, abs=0.05)
    for _ in range(60):
        rig.finish(rig.enter(), extra=PHOTO)
    assert rig.forecast.stretch == pytest.approx(2, abs=0.1)
    place = rig.enter(10.0)
    assert rig.now + 10 - place.begin_by == pytest.approx(2 * PHOTO, rel=0.1)
    # One given up early says nothing, one given up late that it takes longer still.
    early = rig.enter()
    early.prepared(PREPARE, 1)
    early.leave()
    assert rig.forecast.stretch == pytest.approx(2, abs=0.1)
    for _ in range(30):
        late = rig.enter()
        late.prepared(PREPARE, 1)
        rig.now += 5 * PHOTO
        late.leave()
    assert rig.forecast.stretch == MOST_STRETCH
    keeper.leave()


def test_clients_that_read_slowly_count_for_nothing() -> None:
    rig = Rig()
    for _ in range(30):
        place = rig.enter()
        place.prepared(PREPARE, 1)
        rig.now += NETWORK + MESH
        place.inferred()
        place.built("standard", MESH)
        rig.now += 100
        place.leave()
    assert rig.forecast.stretch == pytest.approx(1, abs=0.05)


def test_latest_moments_leave_time_for_what_follows() -> None:
    rig = Rig()
    rig.enter()
    place = rig.enter(10.0)
    assert place.begin_by == pytest.approx(rig.now + 10 - PHOTO)
    assert place.infer_by == pytest.approx(rig.now + 10 - NETWORK - MESH)
    assert place.mesh_by("standard") == pytest.approx(rig.now + 10 - MESH)
    # A kind never seen is taken for an average one.
    assert place.mesh_by("fine") == place.mesh_by("standard")
