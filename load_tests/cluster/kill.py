"""SIGKILL one server under load.

Half of the clients see answers as they come: calls in flight on the dead server fail as UNAVAILABLE
if their answer had begun, and are asked again by gRPC, as the service config says, if not. The
other half wait for whole answers (``Client.reconstruct``) and notice nothing.

Run: ``python -m load_tests.cluster.kill [SERVERS [TIMES]]``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protome.client import Client, make_request
from protome.sample import SAMPLE

from . import calls
from .calls import Call
from .nodes import Cluster, Node

AFTER: Final = 4.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """All calls, when the server was killed, and what it then had in flight.

    Attributes:
        calls: of clients that see answers as they come.
        whole: of those that wait for all of it.
        others: photos that the other servers did not answer well, by their own count.
    """

    calls: Sequence[Call]
    whole: Sequence[Call]
    killed: float
    in_flight: float
    others: float

    @property
    def failed(self) -> list[Call]:
        """Calls that did not end well, of those that see answers as they come."""
        return calls.failed(self.calls)

    @property
    def survived(self) -> list[Call]:
        """Calls that were open at the moment of the kill and ended well."""
        made = [*self.calls, *self.whole]
        return [c for c in made if c.began < self.killed < c.ended and c.code == "OK"]


def kill(cluster: Cluster, *, parallel: int = 12) -> Outcome:
    """Kill the first server while the shipped client, with its service config, makes calls."""
    image = SAMPLE.read_bytes()
    victim, *others = cluster.nodes
    before = sum(map(_unwell, others))
    with Client(cluster.target, timeout=calls.SECONDS) as client:
        as_they_come = calls.events(client.channel, make_request(image))
        with (
            calls.callers(as_they_come, parallel // 2) as made,
            calls.callers(lambda: [client.reconstruct(image)], parallel // 2) as whole,
        ):
            for node in cluster.nodes:
                node.await_photos(3)
            in_flight = victim.metric("protome_requests_in_flight")
            killed = time.time()
            victim.kill()
            time.sleep(AFTER)
    return Outcome(made, whole, killed, in_flight, sum(map(_unwell, others)) - before)


def _unwell(node: Node) -> float:
    return node.metric("protome_requests_total") - node.metric("protome_requests_total", code="OK")


def check(outcome: Outcome) -> None:
    """Hold an outcome to what is promised."""
    assert outcome.in_flight > 0
    # Some may have come between the look at its metrics and its end.
    assert len(outcome.failed) <= outcome.in_flight + 2
    for call in outcome.failed:
        assert call.code == "UNAVAILABLE", call
        assert call.answered, "a call that nothing was answered to is asked again"
        assert call.began < outcome.killed, "calls made later never see the dead server"
    assert not calls.failed(outcome.whole), "whole answers are asked for once more"
    assert outcome.others == 0, "the failed calls were all the killed server's"
    assert len(outcome.survived) > 0
    assert sum(call.began > outcome.killed for call in outcome.whole) > 5, "the others serve on"


def main() -> None:
    """Print what became of the calls."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(
        "| kill | servers | calls | in flight on the killed server | failed, all UNAVAILABLE, "
        "answer begun | calls for whole answers | failed | open at the kill, answered |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with Cluster(size) as cluster:
        for number in range(1, times + 1):
            outcome = kill(cluster)
            row = (number, size, len(outcome.calls), f"{outcome.in_flight:.0f}")
            print("|", " | ".join(map(str, row)), end="")
            print(f" | {len(outcome.failed)} | {len(outcome.whole)}", end="")
            lost = len(calls.failed(outcome.whole))
            print(f" | {lost} | {len(outcome.survived)} |", flush=True)
            for call in outcome.failed:
                print(f"{call.ended - outcome.killed:.3f} s after: {call}", file=sys.stderr)
            check(outcome)
            cluster.nodes[0].start()


if __name__ == "__main__":
    main()
