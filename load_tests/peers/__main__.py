"""Compare Protome with alternative servers, one after the other under the same load.

``python -m load_tests.peers [--report FOLDER]``, with the ``[peers]`` extra. All servers have the
same photo, stages, network and cores, and must answer with the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import grpc

from load_tests.machine import describe, free_port, load_average
from protome.bench.load import Spec, Tally
from protome.bench.service import cpu_seconds, family
from protome.client.errors import ReconstructionError
from protome.client.requests import make_request
from protome.config import cores
from protome.sample import SAMPLE
from protome.workers.handle import WORKER_ENVIRONMENT

from .http import mesh
from .stages import OPTIONS, READY, Stages
from .systems import SYSTEMS, System
from .table import Point, markdown, row

HERE: Final = Path(__file__).parents[2]
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 10.0
# What servers answer that do not serve yet; the first photo may take longer than a call.
UNREADY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
CLIENTS: Final = (1, 8, 32)
# Rates of the open loops, as shares of Protome's rate with 8 clients.
OPEN: Final = (0.7, 1.5)
# Calls per core before the first load: with a worker's first dozen BentoML tries how long to wait.
WARM_UP: Final = 16
# Timeout of calls in closed loops, which all get their answer.
CALL_TIMEOUT_SECONDS: Final = 60.0
# Settings that BentoML and Ray read from the environment.
QUIET: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A line that several processes print is not taken for one.
    "RAY_DEDUP_LOGS": "0",
    # Without a cluster Ray listens on 127.0.0.1 only.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class Server:
    """A running server; stopped (SIGSTOP) unless measured, because some use cores when idle."""

    def __init__(self, system: System, process: subprocess.Popen[bytes], address: str) -> None:
        self._system = system
        self._process = process
        self._address = address

    def ready(self, log: Path) -> None:
        """Wait for all its processes and a good answer, and compare the mesh with the expected one.

        Raises:
            RuntimeError: there was no good answer, or its mesh differs.
        """
        request = make_request(SAMPLE.read_bytes(), **OPTIONS)
        limit = time.monotonic() + START_SECONDS
        wanted = self._system.processes * cores()
        # Before that some answer with an error.
        while log.read_text(errors="replace").count(READY) < wanted:
            self._wait(log, limit, f"has not {wanted} processes ready")
        while True:
            try:
                data = mesh(self._system.how, self._address, request)
                break
            except (ReconstructionError, OSError) as error:
                unready = getattr(error, "code", grpc.StatusCode.UNAVAILABLE) in UNREADY
                self._wait(log, limit if unready else 0.0, f"does not serve: {error}")
        if data != expected():
            raise RuntimeError(f"{self._system.name} answers with another mesh")
        self._signal(signal.SIGSTOP)

    def _wait(self, log: Path, limit: float, problem: str) -> None:
        """Wait a moment, or raise an error if it has ended or there is no time left."""
        if self._process.poll() is not None or time.monotonic() > limit:
            said = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._system.name} {problem}\n{said}")
        time.sleep(0.2)

    def load(self, label: str, **spec: Any) -> Point:
        """Generate a load on it; arguments as :class:`protome.bench.load.Spec`."""
        task = Spec(self._address, [str(SAMPLE)], dict(OPTIONS), **spec)
        self._signal(signal.SIGCONT)
        before = self._cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "load_tests.peers.http", self._system.how],
            input=json.dumps(asdict(task)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environment(),
        )
        spent = self._cpu_seconds() - before
        self._signal(signal.SIGSTOP)
        tally = Tally(**json.loads(done.stdout))
        point = Point.of(self._system.name, label, tally, spent)
        print(row(point), file=sys.stderr, flush=True)
        return point

    def close(self) -> None:
        """End it and all processes that it started."""
        self._signal(signal.SIGCONT)
        with contextlib.ExitStack() as stack:
            # Those that have sessions of their own (BentoML, Ray) are not in the process group, and
            # not among the descendants once their parent has ended.
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    stack.enter_context(killing(pid))
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def pids(self) -> list[int]:
        """Return the ids of its processes."""
        return list(family(self._process.pid))

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self.pids()))


@contextlib.contextmanager
def killing(pid: int) -> Iterator[None]:
    """Kill a process after the block; not another one that got its id meanwhile."""
    handle = os.pidfd_open(pid)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def environment() -> dict[str, str]:
    """Return the environment of servers and generators: module path, one thread per process."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **WORKER_ENVIRONMENT, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}


@contextlib.contextmanager
def serving(system: System, seconds: float, queue: int, folder: Path) -> Iterator[Server]:
    """Run a server for the duration of the block.

    Args:
        system: the server.
        seconds: timeout of a call.
        queue: calls that may wait.
        folder: folder for its log.
    """
    log = folder / f"{system.name}.log"
    port = free_port()
    flags = system.flags.format(
        port=port,
        cores=cores(),
        ms=int(1000 * seconds),
        seconds=seconds,
        queue=queue,
        wait=seconds / 2,
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", system.module, *flags.split()],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment(), "BENTOML_HOME": str(folder / f"{system.name}.bentoml")},
            # A process group of its own, so that all its processes can be ended together.
            start_new_session=True,
        )
    server = Server(system, process, f"127.0.0.1:{port}")
    try:
        server.ready(log)
        yield server
    finally:
        server.close()


def warm_up(servers: Sequence[Server]) -> None:
    """Call each server some times, one call after the other."""
    for server in servers:
        server.load("warm-up", clients=1, calls=WARM_UP * cores())


@functools.cache
def expected() -> bytes:
    """Return the mesh of the photo, made by the stages in this process."""
    stages = Stages()
    return stages.build(stages.infer([stages.prepare(SAMPLE.read_bytes())])[0])


def compare(
    systems: Sequence[System], seconds: float, deadline: float, folder: Path
) -> list[Point]:
    """Run each load on all systems in turn; the first system sets the rates of the open loops."""
    points: list[Point] = []
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(s, CALL_TIMEOUT_SECONDS, 1024, folder)) for s in systems
        ]
        warm_up(servers)
        for clients in CLIENTS:
            label = f"{clients} client" + "s" * (clients > 1)
            # Until the first calls are answered only the first stage is busy.
            ramp = max(1.0, clients / 10)
            points += [s.load(label, clients=clients, seconds=seconds, ramp=ramp) for s in servers]
    rate = points[CLIENTS.index(8) * len(systems)].rate
    with contextlib.ExitStack() as stack:
        # Half of the deadline, so that calls in a full queue are still answered in time.
        queue = max(8, int(deadline * rate / 2))
        servers = [stack.enter_context(serving(s, deadline, queue, folder)) for s in systems]
        warm_up(servers)
        for part in OPEN:
            label = f"{part * rate:.0f}/s, deadline {deadline:.0f} s"
            spec = {"rate": part * rate, "seconds": seconds, "ramp": deadline, "deadline": deadline}
            points += [server.load(label, **spec) for server in servers]
    return points


def main() -> None:
    """Print the table, and write it to a folder if one is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="duration of each load")
    parser.add_argument(
        "--deadline", type=float, default=2.0, help="deadline of calls in open loops, seconds"
    )
    parser.add_argument("--only", default="", help="systems with this in their name")
    parser.add_argument("--report", type=Path, help="folder to write peers.md to")
    args = parser.parse_args()
    # Stopped servers must not outlive this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    before = load_average()
    systems = [system for system in SYSTEMS if args.only.lower() in system.name.lower()]
    with tempfile.TemporaryDirectory(prefix="protome-peers-") as folder:
        points = compare(systems, args.seconds, args.deadline, Path(folder))
    text = markdown(points, describe(before, ("mosec", "litserve", "bentoml", "ray", "aiohttp")))
    if args.report:
        args.report.mkdir(parents=True, exist_ok=True)
        (args.report / "peers.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
