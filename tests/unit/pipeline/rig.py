"""Inference under test, with an engine that the test holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import cast

import numpy as np

from protome.geometry import U8, Level
from protome.model.engine import Engine, Prediction
from protome.pipeline.inference import Inference, Inferred
from protome.scheduling.batcher import BatchFacts
from protome.scheduling.fair_queue import Turn

LEVELS = (Level.STANDARD,)
NEVER = float("inf")


class FakeModel:
    """FINE is large."""

    def large(self, levels: Collection[Level]) -> bool:
        return Level.FINE in levels


class FakeEngine:
    """Answers a crop with a volume of its first byte; holds each run until told to go on."""

    model = FakeModel()
    max_batch = 4

    def __init__(self, in_flight: int = 1) -> None:
        self.in_flight = in_flight
        self.lanes = 1
        self.batches: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.fails: set[int] = set()

    def rows(self, count: int) -> int:
        return 4 if count == 3 else count

    def run(self, crops: Sequence[U8], wanted: Sequence[Collection[Level]]) -> list[Prediction]:
        names = [int(crop.ravel()[0]) for crop in crops]
        self.batches.append(names)
        self.began.release()
        assert self.go_on.acquire(timeout=10)
        if self.fails & set(names):
            raise RuntimeError("out of memory")
        return [
            Prediction({level: np.full((1, 1, 1), name, np.uint8) for level in levels})
            for name, levels in zip(names, wanted, strict=True)
        ]


class Bench:
    """An inference over a fake engine."""

    def __init__(self, in_flight: int = 1) -> None:
        self.engine = FakeEngine(in_flight)
        self.seen: list[BatchFacts] = []
        self.inference = Inference(
            cast(Engine, self.engine),
            on_batch=self.seen.append,
        )

    async def ask(
        self,
        name: int,
        deadline: float = NEVER,
        stream: str | None = None,
        levels: Collection[Level] = LEVELS,
    ) -> asyncio.Task[Inferred]:
        """Send a face and let it reach the queue."""
        crop = np.full((1, 1, 3), name, np.uint8)
        latest = deadline - self.inference.times.predict(1)
        task = asyncio.create_task(self.inference.infer(crop, levels, Turn(stream), latest))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def began(self) -> None:
        """Until the engine holds a batch."""
        assert await asyncio.to_thread(self.engine.began.acquire, timeout=10)

    def release(self, runs: int = 1) -> None:
        """Let it finish."""
        self.engine.go_on.release(runs)


@asynccontextmanager
async def bench(in_flight: int = 1) -> AsyncIterator[Bench]:
    made = Bench(in_flight)
    made.inference.start()
    try:
        async with asyncio.timeout(20):
            yield made
    finally:
        made.release(100)
        await made.inference.close()


def name_of(answer: Inferred) -> int:
    return int(answer.prediction.volumes[Level.STANDARD].ravel()[0])
