"""Generate load: closed loops of clients, or an open loop of calls at random times.

Run as ``python -m protome.bench.load`` in a process of its own, so that its processor time can be
measured: it reads one JSON object per line, generates that load, and prints the result as one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from protome.client import AsyncClient, ReconstructionError, make_request
from protome.v1 import reconstruction_pb2 as pb

# Timeout of calls without a deadline of their own, seconds.
CALL_TIMEOUT_SECONDS: Final = 120.0


class Caller(Protocol):
    """The calls that a load makes; :class:`AsyncClient` has them."""

    async def server_info(self) -> object:
        """Return once connected."""

    def events(self, request: pb.ReconstructRequest) -> AsyncIterator[pb.ReconstructResponse]:
        """Send a request and iterate over the events of the answer.

        Raises:
            ReconstructionError: the call failed.
        """


Connect = Callable[[str, float], AbstractAsyncContextManager[Caller]]


def connect(address: str, timeout: float) -> AbstractAsyncContextManager[Caller]:
    """Connect to Protome at host:port; each call has this timeout in seconds."""
    return AsyncClient(address, timeout=timeout)


@dataclass(frozen=True)
class Spec:
    """A load to generate.

    Attributes:
        address: host:port of the server.
        photos: files, used in turn.
        options: options of ``make_request``.
        seconds: time measured.
        ramp: seconds of the same load before that are not measured.
        clients: clients of a closed loop; 0: an open loop.
        rate: calls per second of an open loop, with exponentially distributed gaps.
        deadline: timeout of each call, seconds; 0: none.
        calls: calls of a closed loop; 0: limited by time.
        seed: seed of the gaps.
    """

    address: str
    photos: Sequence[str]
    options: dict[str, Any]
    seconds: float = 5.0
    ramp: float = 1.0
    clients: int = 0
    rate: float = 0.0
    deadline: float = 0.0
    calls: int = 0
    seed: int = 1


@dataclass
class Tally:
    """Results of the measured calls of a load.

    Attributes:
        calls: all calls made, also those that were not measured.
        good: answers that were complete and in time.
        seconds: time measured.
        latencies: seconds of each good answer.
        first_bytes: seconds until the first byte of a mesh of each good answer.
        stage_sums: sum of the stage times of each good answer, seconds.
        refusals: seconds until each RESOURCE_EXHAUSTED.
        codes: number of failed calls by status code.
        bytes_: bytes of meshes received.
        cpu_seconds: processor seconds of this process per second, that is cores used.
    """

    calls: int = 0
    good: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    stage_sums: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    bytes_: int = 0
    cpu_seconds: float = 0.0


class Load:
    """One load on one server.

    Args:
        spec: the load.
        connect: connects to the server.
    """

    def __init__(self, spec: Spec, connect: Connect = connect) -> None:
        self._spec = spec
        self._connect = connect
        self._tally = Tally()
        requests = [make_request(Path(p).read_bytes(), **spec.options) for p in spec.photos]
        self._requests = itertools.cycle(requests)

    async def run(self) -> Tally:
        """Generate the load and return its results."""
        spec = self._spec
        async with self._connect(spec.address, spec.deadline or CALL_TIMEOUT_SECONDS) as client:
            # Connect before the clock starts.
            await client.server_info()
            cpu, self._began = time.process_time(), time.monotonic()
            await (self._closed(client) if spec.clients else self._open(client))
            whole = time.monotonic() - self._began
            self._tally.cpu_seconds = (time.process_time() - cpu) / whole
        self._tally.seconds = spec.seconds if not spec.calls else whole
        return self._tally

    async def _closed(self, client: Caller) -> None:
        spec = self._spec
        end = self._began + spec.ramp + spec.seconds
        left = itertools.count(spec.calls - 1, -1)

        def in_window(began: float, ended: float) -> bool:
            del began
            return bool(spec.calls) or self._began + spec.ramp <= ended < end

        async def one() -> None:
            while next(left) >= 0 if spec.calls else time.monotonic() < end:
                await self._call(client, in_window)

        # Wait for all answers: cancelled calls would take server time without being measured.
        await asyncio.gather(*(one() for _ in range(spec.clients)))

    async def _open(self, client: Caller) -> None:
        spec = self._spec
        gaps = random.Random(spec.seed)
        end = self._began + spec.ramp + spec.seconds

        def in_window(began: float, ended: float) -> bool:
            del ended
            return began >= self._began + spec.ramp

        async with asyncio.TaskGroup() as group:
            moment = self._began
            while (moment := moment + gaps.expovariate(spec.rate)) < end:
                await asyncio.sleep(max(0.0, moment - time.monotonic()))
                group.create_task(self._call(client, in_window))

    async def _call(self, client: Caller, counts: Callable[[float, float], bool]) -> None:
        self._tally.calls += 1
        began = time.monotonic()
        code, summary, size, first = "OK", pb.Summary(), 0, 0.0
        try:
            async for event in client.events(next(self._requests)):
                size += len(event.chunk.data)
                if size and not first:
                    first = time.monotonic()
                if event.HasField("summary"):
                    summary = event.summary
        except ReconstructionError as error:
            code = error.code.name
        ended = time.monotonic()
        if not counts(began, ended):
            return
        tally = self._tally
        if code == "OK":
            tally.good += 1
            tally.bytes_ += size
            tally.latencies.append(ended - began)
            tally.first_bytes.append((first or ended) - began)
            tally.stage_sums.append(stage_sum(summary))
        else:
            tally.codes[code] = tally.codes.get(code, 0) + 1
            if code == "RESOURCE_EXHAUSTED":
                tally.refusals.append(ended - began)


def stage_sum(summary: pb.Summary) -> float:
    """Return the sum of all stage times of an answer in seconds."""
    times = summary.times
    total = times.decode_seconds + times.detect_seconds + times.crop_seconds
    for face in summary.faces:
        total += face.inference_seconds
        for mesh in face.meshes:
            total += mesh.surface_seconds + mesh.appearance_seconds + mesh.encode_seconds
    return total


def main(connect: Connect = connect) -> None:
    """Generate the loads read from standard input until it ends."""
    for line in sys.stdin:
        tally = asyncio.run(Load(Spec(**json.loads(line)), connect).run())
        print(json.dumps(dataclasses.asdict(tally)), flush=True)


if __name__ == "__main__":
    main()
