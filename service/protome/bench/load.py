"""A load generator: closed loops of clients, or calls at random moments whether answered or not.

Run as ``python -m protome.bench.load`` in a process of its own, so that what it costs can be told:
it reads one JSON object a line, does that load, and answers with one.
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

# A call without a deadline of its own must still end some day, seconds.
PATIENCE: Final = 120.0


class Caller(Protocol):
    """What is asked, as :class:`client.AsyncClient` is; others answer with the same events."""

    async def server_info(self) -> object:
        """Returns once connected."""

    def events(self, request: pb.ReconstructRequest) -> AsyncIterator[pb.ReconstructResponse]:
        """The events of an answer.

        Raises:
            ReconstructionError: the call failed.
        """


Connect = Callable[[str, float], AbstractAsyncContextManager[Caller]]


def connect(address: str, timeout: float) -> AbstractAsyncContextManager[Caller]:
    """Calls of Protome at an address, with a deadline of so many seconds."""
    return AsyncClient(address, timeout=timeout)


@dataclass(frozen=True)
class Spec:
    """What to do.

    Attributes:
        address: of the server.
        photos: files, taken in turn.
        options: of ``make_request``.
        seconds: counted, after ``ramp`` seconds of the same load that are not.
        clients: of a closed loop; 0: an open loop.
        rate: calls a second of an open loop, with exponential gaps.
        deadline: seconds each call has; 0: none.
        calls: end a closed loop after so many; 0: by time.
        seed: of the gaps.
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
    """What came of it, of the calls that count.

    Attributes:
        calls: made, also those that do not count.
        good: answers complete and in time.
        seconds: counted.
        latencies: of each good answer, seconds.
        first_bytes: seconds until the first byte of a mesh of each good answer.
        stage_sums: what the stages of each good answer took together, seconds.
        refusals: seconds until each RESOURCE_EXHAUSTED.
        codes: of those that failed.
        bytes_: of mesh.
        cpu_seconds: of this process a second of the whole run.
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
        spec: what to do.
        connect: makes calls of the server.
    """

    def __init__(self, spec: Spec, connect: Connect = connect) -> None:
        self._spec = spec
        self._connect = connect
        self._tally = Tally()
        requests = [make_request(Path(p).read_bytes(), **spec.options) for p in spec.photos]
        self._requests = itertools.cycle(requests)

    async def run(self) -> Tally:
        """Do it."""
        spec = self._spec
        async with self._connect(spec.address, spec.deadline or PATIENCE) as client:
            # The connection is made before the clock runs.
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

        # All are answered in the end: given up halfway, they would cost time and not count.
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
    """Seconds of all stages of an answer, one after the other."""
    times = summary.times
    total = times.decode_seconds + times.detect_seconds + times.crop_seconds
    for face in summary.faces:
        total += face.inference_seconds
        for mesh in face.meshes:
            total += mesh.surface_seconds + mesh.appearance_seconds + mesh.encode_seconds
    return total


def main(connect: Connect = connect) -> None:
    """Serve loads until standard input ends."""
    for line in sys.stdin:
        tally = asyncio.run(Load(Spec(**json.loads(line)), connect).run())
        print(json.dumps(dataclasses.asdict(tally)), flush=True)


if __name__ == "__main__":
    main()
