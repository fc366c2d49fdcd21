"""Measure the speed of building a surface relative to PyMCubes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import mcubes
import numpy as np

from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, U8, Level
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface, compose
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome.sample import SAMPLE

CALLS_A_THREAD = 4
# Hashing takes about as long as a surface, without Python's lock and within the caches.
HASHED_BYTES = 1 << 20
# Radius of the ball that PyMCubes extracts, crop pixels: about that of a head.
BALL_RADIUS = 65.0


@dataclass(frozen=True, slots=True)
class PosedHead:
    """What a surface is built from: a head, its vertices (N, 3) and its hair (42, 52, 52)."""

    head: Head
    vertices: F32
    hair: U8

    def compose(self, level: Level) -> Surface:
        """Build the surface."""
        return compose(self.head, self.vertices, self.hair, level)


def sample_head() -> PosedHead:
    """Return the head of the built-in photo."""
    pipeline = LocalPipeline()
    _, (task,) = pipeline.prepare(Request(SAMPLE.read_bytes(), max_faces=1))
    (prediction,) = pipeline.infer([task.crop])
    return PosedHead(pipeline.head, prediction.vertices, prediction.hair)


def surface_speed(posed: PosedHead, rounds: int = 15) -> dict[str, float]:
    """Compare building a surface with PyMCubes, and two threads with one.

    PyMCubes only runs marching cubes, on a volume of the crop's size and the level's resolution
    with a ball in it; Protome also makes the volume, keeps the largest piece only and computes
    normals. The best of many rounds counts. All times except those of threads are processor time,
    so that other work on the machine has little effect.

    Args:
        posed: a head.
        rounds: how often each is timed; five times as often for the threads, which need two idle
            cores at the same time.

    Returns:
        ``surface_speedup_standard`` and ``surface_speedup_fine``: time of PyMCubes over that of
        Protome;
        ``surface_two_thread_scaling``: surfaces per second of two threads over those of one;
        ``machine_two_thread_scaling``: the same for hashing, which shares no data: under 2 if cores
        are busy or are two hardware threads of one core;
        ``surface_standard_seconds`` and ``surface_fine_seconds``: times of Protome.
    """
    result = {}
    for level in (Level.STANDARD, Level.FINE):
        name = level.name.lower()
        theirs, ours = _best(
            rounds,
            time.thread_time,
            [partial(mcubes.marching_cubes, _ball(level), 0.0), partial(posed.compose, level)],
        )
        result[f"surface_speedup_{name}"] = theirs / ours
        result[f"surface_{name}_seconds"] = ours
    shot = bytes(HASHED_BYTES)
    with ThreadPoolExecutor(2) as threads:
        for name, work in (
            ("surface", partial(posed.compose, Level.STANDARD)),
            ("machine", partial(blake2b, shot)),
        ):
            one, two = _best(
                5 * rounds, time.perf_counter, [partial(_at_once, threads, n, work) for n in (1, 2)]
            )
            result[f"{name}_two_thread_scaling"] = 2 * one / two
    return result


def _ball(level: Level) -> F32:
    """Return the distance to a ball's surface, positive inside, sampled over the crop volume."""
    sides = (
        np.arange(0.5 * level.step, side, level.step) - side / 2
        for side in (CROP_DEPTH, CROP_SIDE, CROP_SIDE)
    )
    z, y, x = np.meshgrid(*sides, indexing="ij", sparse=True)
    return np.asarray(BALL_RADIUS - np.sqrt(x * x + y * y + z * z), np.float32)


def _at_once(threads: ThreadPoolExecutor, count: int, work: Callable[[], object]) -> None:
    def several() -> None:
        for _ in range(CALLS_A_THREAD):
            work()

    for done in [threads.submit(several) for _ in range(count)]:
        done.result()


def _best(rounds: int, clock: Callable[[], float], runs: list[Callable[[], object]]) -> list[float]:
    """Return the least seconds of each run, run in turn so that slow moments affect all."""
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for index, run in enumerate(runs):
            began = clock()
            run()
            best[index] = min(best[index], clock() - began)
    return best
