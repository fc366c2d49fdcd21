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
    """Results of killing a server.

    Attributes:
        calls: calls of clients that read answers as they arrive.
        whole: calls of clients that wait for the whole answer.
        killed: when the server was killed, seconds of ``time.time()``.
        in_flight: photos that it had in flight then.
        others: photos that failed on the other servers, by their metrics.
    """

    calls: Sequence[Call]
    whole: Sequence[Call]
    killed: float
    in_flight: float
    others: float

    @property
    def failed(self) -> list[Call]:
        """Failed calls of the clients that read answers as they arrive."""
        return calls.failed(self.calls)

    @property
    def survived(self) -> list[Call]:
        """Calls that were open at the moment of the kill and succeeded."""
        made = [*self.calls, *self.whole]
        return [c for c in made if c.began < self.killed < c.ended and c.code == "OK"]


def kill(cluster: Cluster, *, parallel: int = 12) -> Outcome:
    """Kill the first server while the shipped client makes calls with its service config."""
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
    """Check the guarantees for clients."""
    assert outcome.in_flight > 0
    # Some calls may have started after its metrics were read.
    assert len(outcome.failed) <= outcome.in_flight + 2
    for call in outcome.failed:
        assert call.code == "UNAVAILABLE", call
        assert call.answered, "a call without any answer is retried"
        assert call.began < outcome.killed, "later calls do not reach the dead server"
    assert not calls.failed(outcome.whole), "calls for whole answers are retried"
    assert outcome.others == 0, "all failed calls were on the killed server"
    assert len(outcome.survived) > 0
    assert sum(call.began > outcome.killed for call in outcome.whole) > 5, (
        "the other servers continue"
    )


def main() -> None:
    """Print the results of each kill."""
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
