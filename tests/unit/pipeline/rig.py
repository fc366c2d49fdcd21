"""Inference under test, with an engine that the test holds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import numpy as np

from protome.geometry import HAIR_SHAPE, U8
from protome.model.engine import Engine, Prediction
from protome.pipeline.inference import Inference, Inferred
from protome.scheduling.batcher import BatchFacts
from protome.scheduling.fair_queue import Turn

NEVER = float("inf")


class FakeEngine:
    """Answers a crop with a vertex made of its first byte; holds each run until told to go on."""

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

    def run(self, crops: Sequence[U8]) -> list[Prediction]:
        names = [int(crop.ravel()[0]) for crop in crops]
        self.batches.append(names)
        self.began.release()
        assert self.go_on.acquire(timeout=10)
        if self.fails & set(names):
            raise RuntimeError("out of memory")
        return [
            Prediction(np.full((1, 3), name, np.float32), np.zeros(HAIR_SHAPE, np.uint8))
            for name in names
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
    ) -> asyncio.Task[Inferred]:
        """Send a face and let it reach the queue."""
        crop = np.full((1, 1, 3), name, np.uint8)
        latest = deadline - self.inference.times.predict(1)
        task = asyncio.create_task(self.inference.infer(crop, Turn(stream), latest))
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
    return int(answer.prediction.vertices[0, 0])
