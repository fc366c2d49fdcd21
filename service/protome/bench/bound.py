"""The offline bound: the line's own stages one after the other, as fast as the cores allow.

No requests, no queues, no batches: each of as many processes as the service has workers takes
photo after photo through ``prepare``, the network on one thread, and ``build``.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from protome import system
from protome.client.requests import make_request
from protome.config import Config
from protome.geometry import U8, Level
from protome.image.decode import ImageLimits
from protome.image.prepare import Photo, PhotoJob, prepare
from protome.mesh.build import MeshJob, build
from protome.model.card import Model, load_model
from protome.model.engine import Engine, Prediction
from protome.pipeline.request import Request
from protome.sample import SAMPLE
from protome.server.convert import Converter
from protome.workers.handle import ONE_THREAD

RAMP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Bound:
    """What the processes did together: photos a second, processor seconds a photo, and mean
    seconds of each stage a photo."""

    rate: float
    cpu_seconds: float
    stages: Mapping[str, float]


def measure(photos: Sequence[str], options: Mapping[str, Any], count: int, seconds: float) -> Bound:
    """Run ``count`` processes at a time.

    Args:
        photos: files, taken in turn, each process beginning at another.
        options: of ``make_request``.
        count: processes.
        seconds: counted, after a second that is not.
    """
    task = {"photos": list(photos), "options": dict(options), "seconds": seconds}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __spec__.name, json.dumps(task | {"first": first})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        for first in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # Ready.
        results = [json.loads(process.communicate()[0]) for process in _told(processes)]
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


def _told(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """The processes, all of them told to begin."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def sample_volume() -> U8:
    """What the network says of the built-in photo: a STANDARD volume."""
    runner = Runner([SAMPLE.read_bytes()], {"max_faces": 1})
    _, (crop, _) = runner.prepare(runner.requests[0])
    return runner.infer(crop, [Level.STANDARD]).volumes[Level.STANDARD]


class Runner:
    """One process of the bound."""

    def __init__(self, photos: Sequence[bytes], options: Mapping[str, Any]) -> None:
        system.keep_freed_memory()
        cv2.setNumThreads(1)
        self._config = Config()
        self._limits = ImageLimits.of(self._config)
        self._model: Model = load_model()
        self._engine = Engine(self._model, provider="cpu", threads=1)
        wire = Converter(self._config, self._model)
        self.requests = [
            wire.request(make_request(photo, **options), float("inf")) for photo in photos
        ]
        self._stages: dict[str, float] = {}

    def run(self, first: int, seconds: float) -> dict[str, Any]:
        """Photos and stage times of so many seconds."""
        order = itertools.cycle(self.requests[first:] + self.requests[:first])
        self._until(order, time.perf_counter() + RAMP_SECONDS)
        self._stages = {}
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

    def prepare(self, request: Request) -> tuple[Photo, list[U8]]:
        """See :func:`protome.image.prepare.prepare`."""
        config = self._config
        job = PhotoJob(
            request.boxes,
            request.max_faces,
            config.min_face_pixels,
            config.min_score,
            self._limits,
            self._model.rule,
            request.encoding.textured,
        )
        return prepare(job, [np.frombuffer(request.image, np.uint8)])

    def infer(self, crop: U8, levels: Sequence[Level]) -> Prediction:
        """See :meth:`engine.Engine.run`."""
        sources = sorted({self._model.source(level) for level in levels})
        return self._engine.run([crop], [sources])[0]

    def _photo(self, request: Request) -> None:
        photo, pictures = self.prepare(request)
        self._spent("decode", photo.decode_seconds)
        self._spent("detect", photo.detect_seconds)
        self._spent("crop", photo.crop_seconds)
        placed = [face.placement for face in photo.faces if face.placement is not None]
        for placement, crop, portrait in zip(placed, pictures[::2], pictures[1::2], strict=True):
            frame = placement.frame(photo.width, photo.height)
            began = time.perf_counter()
            prediction = self.infer(crop, request.levels)
            self._spent("inference", time.perf_counter() - began)
            for level in request.levels:
                volume = prediction.volumes[self._model.source(level)]
                built, _ = build(MeshJob(level, request.encoding, frame), [volume, portrait])
                self._spent("surface", built.surface_seconds)
                self._spent("appearance", built.appearance_seconds)
                self._spent("encode", built.encode_seconds)

    def _spent(self, stage: str, seconds: float) -> None:
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds


def main(argv: Sequence[str]) -> None:
    """One process: get ready, wait for the word, run, say what was done."""
    task = json.loads(argv[0])
    runner = Runner([Path(photo).read_bytes() for photo in task["photos"]], task["options"])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(runner.run(task["first"] % len(task["photos"]), task["seconds"])))


if __name__ == "__main__":
    main(sys.argv[1:])
