"""Measure the offline bound: the stages of the pipeline, as fast as the cores allow.

Each of as many processes as the service has workers reconstructs photo after photo with a
:class:`LocalPipeline`, without requests, queues and batches.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from protome.client.requests import make_request
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome.server.calls.parse_request import read_request
from protome.workers.handle import WORKER_ENVIRONMENT

RAMP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Bound:
    """Throughput of all processes together.

    Attributes:
        rate: photos per second.
        cpu_seconds: processor seconds per photo.
        stages: mean seconds of each stage per photo.
    """

    rate: float
    cpu_seconds: float
    stages: Mapping[str, float]


def measure(photos: Sequence[str], options: Mapping[str, Any], count: int, seconds: float) -> Bound:
    """Run the processes and add up their results.

    Args:
        photos: files, used in turn; each process begins with another one.
        options: options of ``make_request``.
        count: processes that run at the same time.
        seconds: time measured, after one second of warm-up.
    """
    task = {"photos": list(photos), "options": dict(options), "seconds": seconds}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __spec__.name, json.dumps(task | {"first": first})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **WORKER_ENVIRONMENT},
        )
        for first in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # Ready.
        results = [json.loads(process.communicate()[0]) for process in _started(processes)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    photos_done = sum(result["photos"] for result in results)
    names = results[0]["stages"]
    return Bound(
        rate=sum(result["photos"] / result["seconds"] for result in results),
        cpu_seconds=sum(result["cpu_seconds"] for result in results) / photos_done,
        stages={name: sum(r["stages"][name] for r in results) / photos_done for name in names},
    )


def _started(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Tell all processes to begin."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


class Runner:
    """One process of the bound.

    Args:
        photos: encoded photos.
        options: options of ``make_request``.
    """

    def __init__(self, photos: Sequence[bytes], options: Mapping[str, Any]) -> None:
        cv2.setNumThreads(1)
        self._pipeline = LocalPipeline()
        # Loads the network.
        _ = self._pipeline.engine
        config = self._pipeline.config
        self._requests = [
            read_request(make_request(photo, **options), config, float("inf")) for photo in photos
        ]
        self._stages: defaultdict[str, float] = defaultdict(float)

    def run(self, first: int, seconds: float) -> dict[str, Any]:
        """Reconstruct photos for a number of seconds; return their count and the stage times."""
        order = itertools.cycle(self._requests[first:] + self._requests[:first])
        self._until(order, time.perf_counter() + RAMP_SECONDS)
        self._stages.clear()
        began, cpu = time.perf_counter(), time.process_time()
        photos = self._until(order, began + seconds)
        return {
            "photos": photos,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "stages": self._stages,
        }

    def _until(self, order: Iterator[Request], end: float) -> int:
        photos = 0
        while time.perf_counter() < end:
            self._photo(next(order))
            photos += 1
        return photos

    def _photo(self, request: Request) -> None:
        photo, faces = self._pipeline.reconstruct(request)
        spent = self._stages
        spent["decode"] += photo.decode_seconds
        spent["detect"] += photo.detect_seconds
        spent["crop"] += photo.crop_seconds
        for face in faces:
            spent["inference"] += face.inference_seconds
            for mesh in face.meshes:
                spent["surface"] += mesh.surface_seconds
                spent["appearance"] += mesh.appearance_seconds
                spent["encode"] += mesh.encode_seconds


def main(argv: Sequence[str]) -> None:
    """Run one process: load, wait for a line on standard input, measure, print the result."""
    task = json.loads(argv[0])
    runner = Runner([Path(photo).read_bytes() for photo in task["photos"]], task["options"])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(runner.run(task["first"] % len(task["photos"]), task["seconds"])))


if __name__ == "__main__":
    main(sys.argv[1:])
