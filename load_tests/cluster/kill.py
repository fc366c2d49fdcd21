"""SIGKILL one server under load: what had begun to be answered fails, the rest is asked again.

Run in load_tests: ``python -m cluster.kill [SERVERS]``
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protome.client import AsyncClient, ReconstructionError, make_request
from protome.sample import SAMPLE

from .nodes import Cluster

BEFORE: Final = 3.0
AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call; times are seconds of time.monotonic().

    Attributes:
        code: the gRPC status it ended with.
        answered: whether any part of an answer had come.
    """

    began: float
    ended: float
    code: str
    answered: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """All calls, when the server was killed, and what it then had in flight."""

    calls: Sequence[Call]
    killed: float
    in_flight: float

    @property
    def failed(self) -> list[Call]:
        """Calls that did not end well."""
        return [call for call in self.calls if call.code != "OK"]

    @property
    def survived(self) -> list[Call]:
        """Calls that were open at the moment of the kill and ended well."""
        return [c for c in self.calls if c.began < self.killed < c.ended and c.code == "OK"]


async def kill(cluster: Cluster, *, parallel: int = 12) -> Outcome:
    """Kill the first server while the shipped client, with its service config, makes calls."""
    request = make_request(SAMPLE.read_bytes(), detail="standard")
    calls: list[Call] = []
    over = False

    async def ask(client: AsyncClient) -> None:
        while not over:
            began, answered, code = time.monotonic(), False, "OK"
            try:
                async for _ in client.events(request):
                    answered = True
            except ReconstructionError as error:
                code = error.code.name
            calls.append(Call(began, time.monotonic(), code, answered))

    async with AsyncClient(cluster.target) as client:
        tasks = [asyncio.create_task(ask(client)) for _ in range(parallel)]
        await asyncio.sleep(BEFORE)
        victim = cluster.nodes[0]
        in_flight = await asyncio.to_thread(victim.metric, "protome_requests_in_flight")
        killed = time.monotonic()
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(AFTER)
        over = True
        await asyncio.gather(*tasks)
    return Outcome(calls, killed, in_flight)


def check(outcome: Outcome) -> None:
    """Hold an outcome to what is promised."""
    assert outcome.in_flight > 0
    # Some may have come between the look at its metrics and its end.
    assert len(outcome.failed) <= outcome.in_flight + 2
    for call in outcome.failed:
        assert call.code == "UNAVAILABLE"
        assert call.answered, "a call that nothing was answered to is asked again"
        assert call.began < outcome.killed, "calls made later never see the dead server"
    assert len(outcome.survived) > 0
    assert sum(call.began > outcome.killed for call in outcome.calls) > 5, "the others serve on"


def main() -> None:
    """Print what became of the calls."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with Cluster(size) as cluster:
        outcome = asyncio.run(kill(cluster))
    rescued = outcome.in_flight - len(outcome.failed)
    print(f"servers                              {size}")
    print(f"calls                                {len(outcome.calls)}")
    print(f"in flight on the killed server       {outcome.in_flight:.0f}")
    print(f"failed, all UNAVAILABLE, all begun   {len(outcome.failed)}")
    print(f"asked again elsewhere                {max(rescued, 0):.0f}")
    check(outcome)


if __name__ == "__main__":
    main()
