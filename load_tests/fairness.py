"""Measure fairness: latency of a single client while ``ReconstructMany`` streams load the server.

A client sends one photo after the other with ``Reconstruct``, first alone, then next to streams
that always have eight photos in flight, the server's limit. After that two streams share the
server, one with eight photos in flight and one with two.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from protome.client import AsyncClient
from protome.client.answers import Reconstruction
from protome.client.requests import Options, Priority, make_request
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb

from .first_byte import quantile
from .ghz.payload import OPTIONS

# Number of streams next to the single client, and the priority of their photos.
CROWDS: Final[Sequence[tuple[int, Priority]]] = (
    (0, "interactive"),
    (1, "interactive"),
    (4, "interactive"),
    (4, "background"),
)
MOST: Final = 8
FEW: Final = 2
RAMP_SECONDS: Final = 2.0


@dataclass
class Stream:
    """A client that keeps a fixed number of photos in flight on one stream.

    Attributes:
        address: host:port of the server.
        in_flight: photos in flight.
        priority: their priority.
        answered: photos reconstructed so far.
    """

    address: str
    in_flight: int
    priority: Priority = "interactive"
    answered: int = 0

    async def run(self) -> None:
        """Send photos until cancelled."""
        places = asyncio.Semaphore(self.in_flight)

        async def photos() -> AsyncIterator[tuple[str, pb.ReconstructRequest]]:
            request = make_request(SAMPLE.read_bytes(), **options(self.priority))
            for number in itertools.count():
                await places.acquire()
                yield str(number), request

        async with AsyncClient(self.address) as client:
            async for _, outcome in client.reconstruct_many(photos()):
                if not isinstance(outcome, Reconstruction):
                    raise outcome
                self.answered += 1
                places.release()


def options(priority: Priority) -> Options:
    """Return the options of every request."""
    return cast("Options", {**OPTIONS, "priority": priority})


@asynccontextmanager
async def flowing(streams: Sequence[Stream]) -> AsyncIterator[None]:
    """Run streams for the duration of the block; the failure of one ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stream.run()) for stream in streams]
        await asyncio.sleep(RAMP_SECONDS)
        yield
        for task in tasks:
            task.cancel()


async def beside(
    address: str, streams: Sequence[Stream], seconds: float
) -> tuple[list[float], float]:
    """Return the single client's latencies in seconds, and the streams' answers per second."""
    photo = SAMPLE.read_bytes()
    latencies: list[float] = []
    async with flowing(streams), AsyncClient(address) as client:
        began, answered = time.monotonic(), sum(stream.answered for stream in streams)
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            await client.reconstruct(photo, **options("interactive"))
            latencies.append(time.monotonic() - asked)
        rate = (sum(stream.answered for stream in streams) - answered) / (time.monotonic() - began)
    return latencies, rate


async def shares(address: str, seconds: float) -> list[float]:
    """Return the answers per second of two streams, the one with more photos in flight first."""
    streams = [Stream(address, MOST), Stream(address, FEW)]
    async with flowing(streams):
        before = [stream.answered for stream in streams]
        await asyncio.sleep(seconds)
        after = [stream.answered for stream in streams]
    return [(then - now) / seconds for then, now in zip(after, before, strict=True)]


async def table(address: str, seconds: float) -> str:
    """Run both measurements; return them as Markdown."""
    lines = [
        "| next to | single client p50 ms | p95 ms | p50 / alone | answers/s of the streams |",
        "|---|---|---|---|---|",
    ]
    alone = 0.0
    for count, priority in CROWDS:
        crowd = [Stream(address, MOST, priority) for _ in range(count)]
        latencies, rate = await beside(address, crowd, seconds)
        middle = quantile(latencies, 0.5)
        alone = alone or middle
        name = f"{count} x {MOST} photos, {priority}" if count else "no stream"
        late = 1e3 * quantile(latencies, 0.95)
        lines.append(
            f"| {name} | {1e3 * middle:.0f} | {late:.0f} | {middle / alone:.1f} | {rate:.1f} |"
        )
    most, few = await shares(address, seconds)
    lines += [
        "",
        f"A stream with {MOST} photos in flight: {most:.1f} answers/s; "
        f"one with {FEW} next to it: {few:.1f}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Start a server, measure it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each load")
    args = parser.parse_args()
    with EmbeddedServer() as server:
        print(asyncio.run(table(server.address, args.seconds)))


if __name__ == "__main__":
    main()
