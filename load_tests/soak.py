"""Soak test: mixed load with cancelled calls, bad input and killed workers for a long time.

    python -m load_tests.soak --minutes 30

Prints a line per minute and a verdict. Exits with 1 if memory, descriptors or latency grew, if an
answer was wrong, or if a call failed that the test did not cause to fail. The clients keep the
server busy, so that its latency is inversely proportional to the cores that other processes leave
free; latencies are multiplied by those cores before they are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np
import psutil
from numpy.typing import NDArray

from protome.bench.service import cpu_seconds, family
from protome.client.answers import Assembler
from protome.client.errors import CorruptAnswer, error_from_call
from protome.client.requests import Level, make_request
from protome.config import MIB, cores
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

OPTIONS: Final = [("grpc.max_receive_message_length", 64 * MIB)]
CLIENTS: Final = 4
SAMPLE_SECONDS: Final = 2.0
KILL_SECONDS: Final = 20.0
# Allowed growth from the first third of a run to the last; caches fill up and machines vary.
GROWTH: Final = {"memory": 1.10, "descriptors": 1.0, "latency": 1.5}
# Outcomes that the test causes itself.
EXPECTED: Final = {
    "OK",
    "CANCELLED",
    "WORKER_DIED",
    "BROKEN_IMAGE",
    "UNSUPPORTED_FORMAT",
    "NO_FACE_FOUND",
}

_NO_PICTURE: Final = pb.ReconstructRequest(image=b"no picture")


def _messages(
    photos: Iterable[tuple[str, pb.ReconstructRequest]], pause: float
) -> Iterator[pb.ReconstructManyRequest]:
    for request_id, request in photos:
        yield pb.ReconstructManyRequest(request_id=request_id, request=request)
        time.sleep(pause)


@dataclass
class Soak:
    """One run and its measurements.

    Attributes:
        server: the server under test.
        photo: encoded photo with a face.
        outcomes: number of photos by outcome.
        latencies: (time, latency) of each good call, seconds since the start and seconds.
        samples: (time, memory, descriptors, cores left to the server): seconds since the start,
            MiB, count, count.
    """

    server: EmbeddedServer
    photo: bytes
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    samples: list[tuple[float, float, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._usage = self._now(), self._others()

    def run(self, seconds: float) -> None:
        """Run the load, kill workers and measure for a number of seconds."""
        threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        threads.append(threading.Thread(target=self._killer))
        for thread in threads:
            thread.start()
        try:
            minute = 0
            while (now := self._now()) < seconds:
                self._measure()
                if now // 60 > minute:
                    minute = int(now // 60)
                    self._report(f"{minute:3d} min")
                time.sleep(SAMPLE_SECONDS)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(90)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _measure(self) -> None:
        root = psutil.Process(self.server.process.pid)
        held = 0
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held += process.memory_full_info().pss
        (before, others), self._usage = self._usage, (self._now(), self._others())
        used = (self._usage[1] - others) / max(self._usage[0] - before, 1e-3)
        left = min(max(cores() - used, 0.1), float(cores()))
        self.samples.append((self._now(), held / MIB, root.num_fds(), left))

    def _others(self) -> float:
        """Return the processor seconds that other processes have used."""
        times = psutil.cpu_times()
        idle = times.idle + times.iowait
        own = sum(map(cpu_seconds, family(self.server.process.pid))) + time.process_time()
        return sum(times[:8]) - idle - own

    def _report(self, when: str) -> None:
        _, memory, descriptors, left = self.samples[-1]
        recent = [s for at, s in self.latencies if at > self._now() - 60]
        median = 1e3 * float(np.median(recent)) if recent else float("nan")
        counts = ", ".join(f"{n} {c}" for n, c in self.outcomes.most_common())
        print(
            f"{when}: {memory:.0f} MiB, {descriptors} descriptors, {median:.0f} ms "
            f"on {left:.1f} cores; {counts}",
            flush=True,
        )

    def _killer(self) -> None:
        chance = random.Random(0)
        while not self._stop.wait(KILL_SECONDS):
            children = psutil.Process(self.server.process.pid).children(recursive=True)
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                chance.choice(children).kill()

    def _client(self, number: int) -> None:
        chance = random.Random(number)
        acts = (
            [self._plain] * 6
            + [self._textured] * 2
            + [self._give_up, self._break, self._reconnect, self._stream, self._twice]
        )
        channel = grpc.insecure_channel(self.server.address, options=OPTIONS)
        try:
            while not self._stop.is_set():
                act: Callable[[Any, random.Random], None] = chance.choice(acts)
                try:
                    act(pb_grpc.ReconstructionServiceStub(channel), chance)
                except grpc.RpcError as error:
                    problem = error_from_call(error)
                    self._count(problem.reason or problem.code.name)
                except CorruptAnswer:
                    self._count("wrong answer")
        finally:
            channel.close()

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def _ask(self, stub: Any, request: pb.ReconstructRequest) -> None:
        assembler = Assembler()
        for event in stub.Reconstruct(request, timeout=60):
            assembler.feed(event)
        assembler.complete()
        self._count("OK")

    def _plain(self, stub: Any, chance: random.Random) -> None:
        del chance
        began = time.monotonic()
        self._ask(stub, make_request(self.photo, detail="preview", appearance="none"))
        with self._lock:
            self.latencies.append((self._now(), time.monotonic() - began))

    def _textured(self, stub: Any, chance: random.Random) -> None:
        detail: Level = chance.choice(("standard", "fine"))
        self._ask(stub, make_request(self.photo, detail=detail, compressions=("meshopt",)))

    def _give_up(self, stub: Any, chance: random.Random) -> None:
        call = stub.Reconstruct(make_request(self.photo, detail="fine"), timeout=60)
        threading.Timer(chance.uniform(0, 0.3), call.cancel).start()
        for _ in call:
            pass
        self._count("OK")

    def _break(self, stub: Any, chance: random.Random) -> None:
        data = bytearray(self.photo[: chance.randrange(1, len(self.photo))])
        for _ in range(chance.randrange(20)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        self._ask(stub, make_request(bytes(data), detail="preview"))

    def _reconnect(self, stub: Any, chance: random.Random) -> None:
        del stub
        with grpc.insecure_channel(
            self.server.address, options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            self._plain(pb_grpc.ReconstructionServiceStub(channel), chance)

    def _stream(self, stub: Any, chance: random.Random) -> None:
        """Check that every photo of a stream ends once, with a summary or an error."""
        good = make_request(self.photo, detail="preview", appearance="none")
        photos = {str(i): good if chance.random() < 0.8 else _NO_PICTURE for i in range(6)}
        ends: Counter[str] = Counter()
        for event in stub.ReconstructMany(_messages(photos.items(), 0.0), timeout=60):
            if event.HasField("error"):
                self._count(event.error.reason)
            if event.HasField("error") or event.HasField("summary"):
                ends[event.request_id] += 1
        self._count("OK" if ends == Counter(list(photos)) else "lost or doubled answer")

    def _twice(self, stub: Any, chance: random.Random) -> None:
        """Send a request id that is in use, which ends the stream in any state."""
        request = make_request(self.photo, detail="preview", preview_first=True)
        pairs = [("twin", request), ("twin", request)]
        try:
            for _ in stub.ReconstructMany(_messages(pairs, chance.uniform(0, 0.2)), timeout=60):
                pass
        except grpc.RpcError as error:
            if error_from_call(error).reason != "INVALID_REQUEST":
                raise
        self._count("OK")

    def verdict(self) -> bool:
        """Print what grew; return whether the run passed."""
        fine = True
        # The first tenth is warm-up.
        rows = np.array(self.samples[len(self.samples) // 10 :])
        slope = 60 * float(np.polyfit(rows[:, 0], rows[:, 1], 1)[0])
        print(f"memory: {slope:+.2f} MiB per minute")
        times = np.array(self.latencies[len(self.latencies) // 10 :])
        left = np.interp(times[:, 0], rows[:, 0], _smooth(rows[:, 3]))
        for name, values in (
            ("memory", rows[:, 1]),
            ("descriptors", rows[:, 2]),
            ("latency", 1e3 * times[:, 1] * left / cores()),
        ):
            third = len(values) // 3
            first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
            grew = last > first * GROWTH[name] + (2 if name == "descriptors" else 0)
            fine &= not grew
            print(
                f"{name}: {first:.0f} in the first third, {last:.0f} in the last"
                f"{': GREW' if grew else ''}"
            )
        strange = {n: c for n, c in self.outcomes.items() if n not in EXPECTED}
        print(f"{self.outcomes.total()} photos; unexpected outcomes: {strange or 'none'}")
        return fine and not strange


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the moving mean of the values over half a minute."""
    width = round(30 / SAMPLE_SECONDS)
    ones = np.ones(min(width, len(values)))
    total = np.convolve(values, ones, "same")
    return np.asarray(total / np.convolve(np.ones(len(values)), ones, "same"), np.float64)


def main() -> int:
    """Start a server, soak it and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    with EmbeddedServer(["--workers", "2", "--log-level", "error"]) as server:
        soak = Soak(server, SAMPLE.read_bytes())
        soak.run(60 * minutes)
        fine = soak.verdict()
    print("nothing grew" if fine else "FAILED")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
