"""Crop in, volume out, for many requests at a time: the batcher feeds the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from .batcher import Batcher, QueueFull, Ticket
from .engine import Engine, Prediction
from .errors import DeadlinePassed, Internal, Overloaded, ProtomeError
from .grid import U8, Level

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inferred:
    """What the network says of a face, and how the face travelled."""

    prediction: Prediction
    batch_size: int
    queue_seconds: float
    inference_seconds: float

    def without_volumes(self) -> Inferred:
        """The same without what takes up memory."""
        return replace(self, prediction=replace(self.prediction, volumes={}))


@dataclass(slots=True)
class _Item:
    crop: U8
    levels: Collection[Level]
    answer: asyncio.Future[Inferred]


class Inference:
    """Owns the queue of faces and the one thread the engine runs in.

    Args:
        engine: the network.
        capacity: faces that may wait.
        on_batch: told the size of each batch; must not raise.
        on_failure: told when no face will be served any more.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        capacity: int,
        on_batch: Callable[[int], None],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._batcher: Batcher[_Item] = Batcher(
            max_batch=engine.max_batch, capacity=capacity, clock=time.monotonic
        )
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._loop: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Faces waiting."""
        return len(self._batcher)

    @property
    def oldest_age(self) -> float:
        """Seconds the first of them has waited."""
        return self._batcher.oldest_age

    def start(self) -> None:
        """Begin to take batches."""
        self._loop = asyncio.create_task(self._run())
        self._loop.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop after the batch in flight; faces still waiting get no answer."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        self._thread.shutdown()

    async def infer(self, crop: U8, levels: Collection[Level], deadline: float) -> Inferred:
        """The volumes of a face.

        Args:
            crop: (192, 192, 3) uint8 RGB.
            levels: of those that the network predicts.
            deadline: on ``time.monotonic``.

        Raises:
            Overloaded: the queue is full.
            DeadlinePassed: the deadline passed before its batch began.
            Internal: the network failed.
        """
        answer: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        try:
            ticket = self._batcher.put(_Item(crop, levels, answer), deadline)
        except QueueFull:
            raise Overloaded("the queue of faces is full", queued=self.queued) from None
        self._arrived.set()
        try:
            return await answer
        finally:
            # No effect once it was answered; frees the place when the caller was cancelled.
            self._batcher.withdraw(ticket)

    def _ended(self, loop: asyncio.Task[None]) -> None:
        if not loop.cancelled():
            log.critical("the inference loop ended", exc_info=loop.exception())
            self._on_failure()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch, expired = self._batcher.take()
            for ticket in expired:
                _fail(ticket, DeadlinePassed("the deadline passed in the queue"))
            if not batch:
                self._arrived.clear()
                continue
            await self._serve(batch)

    async def _serve(self, batch: Sequence[Ticket[_Item]]) -> None:
        began = time.monotonic()
        crops = [ticket.item.crop for ticket in batch]
        levels = sorted({level for ticket in batch for level in ticket.item.levels})
        loop = asyncio.get_running_loop()
        try:
            predictions = await loop.run_in_executor(self._thread, self._engine.run, crops, levels)
        except Exception:
            log.exception("a batch of %d failed", len(batch))
            for ticket in batch:
                _fail(ticket, Internal("the network failed"))
            return
        seconds = time.monotonic() - began
        self._on_batch(len(batch))
        for ticket, prediction in zip(batch, predictions, strict=True):
            if not ticket.item.answer.done():
                waited = began - ticket.queued_at
                ticket.item.answer.set_result(Inferred(prediction, len(batch), waited, seconds))


def _fail(ticket: Ticket[_Item], error: ProtomeError) -> None:
    if not ticket.item.answer.done():
        ticket.item.answer.set_exception(error)
