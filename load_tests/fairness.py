"""What a client waits for while ``ReconstructMany`` streams keep the server full.

A client that sends one photo after the other with ``Reconstruct`` has the server to itself, then
beside streams that always have eight photos under way, the server's limit. Then two streams share
the server, one with eight photos under way and one with two.
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

# Streams beside the lone client, and the priority of their photos.
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
    """A client that always has so many photos under way over one stream.

    Attributes:
        answered: photos that became a mesh.
    """

    address: str
    under_way: int
    priority: Priority = "interactive"
    answered: int = 0

    async def run(self) -> None:
        """Until cancelled."""
        places = asyncio.Semaphore(self.under_way)

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
    """What is asked of every photo."""
    return cast("Options", {**OPTIONS, "priority": priority})


@asynccontextmanager
async def flowing(streams: Sequence[Stream]) -> AsyncIterator[None]:
    """Streams that run for as long as the block; one that fails ends it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stream.run()) for stream in streams]
        await asyncio.sleep(RAMP_SECONDS)
        yield
        for task in tasks:
            task.cancel()


async def beside(
    address: str, streams: Sequence[Stream], seconds: float
) -> tuple[list[float], float]:
    """The lone client's latencies, seconds, and what the streams were answered a second."""
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
    """Answers a second of two streams that share the server, the fuller one first."""
    streams = [Stream(address, MOST), Stream(address, FEW)]
    async with flowing(streams):
        before = [stream.answered for stream in streams]
        await asyncio.sleep(seconds)
        after = [stream.answered for stream in streams]
    return [(then - now) / seconds for then, now in zip(after, before, strict=True)]


async def table(address: str, seconds: float) -> str:
    """Both measurements as Markdown."""
    lines = [
        "| beside | lone client p50 ms | p95 ms | p50 / alone | answers/s of the streams |",
        "|---|---|---|---|---|",
    ]
    alone = 0.0
    for count, priority in CROWDS:
        crowd = [Stream(address, MOST, priority) for _ in range(count)]
        latencies, rate = await beside(address, crowd, seconds)
        middle = quantile(latencies, 0.5)
        alone = alone or middle
        name = f"{count} x {MOST} photos, {priority}" if count else "nobody"
        late = 1e3 * quantile(latencies, 0.95)
        lines.append(
            f"| {name} | {1e3 * middle:.0f} | {late:.0f} | {middle / alone:.1f} | {rate:.1f} |"
        )
    most, few = await shares(address, seconds)
    lines += [
        "",
        f"A stream with {MOST} photos under way: {most:.1f} answers/s; "
        f"one with {FEW} beside it: {few:.1f}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables, of a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    args = parser.parse_args()
    with EmbeddedServer() as server:
        print(asyncio.run(table(server.address, args.seconds)))


if __name__ == "__main__":
    main()
