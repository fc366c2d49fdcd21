"""Measure the speed of surface extraction relative to PyMCubes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b

import mcubes
import numpy as np

from protome.geometry import U8, Level, resample
from protome.mesh.isosurface import ISO
from protome.mesh.surface import extract

CALLS_A_THREAD = 4
# Hashing takes about as long as extracting a surface, without Python's lock and within the caches.
HASHED_BYTES = 1 << 20


def surface_speed(volume: U8, rounds: int = 15) -> dict[str, float]:
    """Compare extraction with PyMCubes, and two threads with one.

    PyMCubes only runs marching cubes on the whole volume; Protome also keeps the largest piece only
    and computes normals. The best of many rounds counts. All times except those of threads are
    processor time, so that other work on the machine has little effect.

    Args:
        volume: a STANDARD volume of a head.
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
        sized = np.ascontiguousarray(resample(volume, level))
        name = level.name.lower()
        theirs, ours = _best(
            rounds,
            time.thread_time,
            [partial(mcubes.marching_cubes, sized, ISO), partial(extract, sized)],
        )
        result[f"surface_speedup_{name}"] = theirs / ours
        result[f"surface_{name}_seconds"] = ours
    shot = bytes(HASHED_BYTES)
    with ThreadPoolExecutor(2) as threads:
        for name, work in (
            ("surface", partial(extract, volume)),
            ("machine", partial(blake2b, shot)),
        ):
            one, two = _best(
                5 * rounds, time.perf_counter, [partial(_at_once, threads, n, work) for n in (1, 2)]
            )
            result[f"{name}_two_thread_scaling"] = 2 * one / two
    return result


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
