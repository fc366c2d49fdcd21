"""Run the network on the faces of many requests, in batches."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from protome.errors import DeadlinePassed, Internal, Overloaded, ProtomeError
from protome.geometry import U8
from protome.model.engine import Engine, Prediction
from protome.scheduling.batcher import Batch, Batcher, BatchFacts
from protome.scheduling.fair_queue import FIRST_COME, NEVER, Entry, Turn
from protome.scheduling.learned_times import Affine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inferred:
    """The network's output for a face.

    Attributes:
        prediction: the output.
        batch_size: faces in the batch.
        queue_seconds: time the face waited for its batch.
        inference_seconds: time of the batch in the network.
    """

    prediction: Prediction
    batch_size: int
    queue_seconds: float
    inference_seconds: float

    def without_shape(self) -> Inferred:
        """Return a copy without vertices and hair, which take the most memory."""
        vertices, hair = np.empty((0, 3), np.float32), np.empty((0, 0, 0), np.uint8)
        return replace(self, prediction=replace(self.prediction, vertices=vertices, hair=hair))


@dataclass(slots=True)
class _Item:
    crop: U8
    answer: asyncio.Future[Inferred]


class Inference:
    """Owns the queue of faces and the threads the engine runs in.

    Args:
        engine: the network.
        on_batch: called after each batch; must not raise.
        on_failure: called once inference has failed for good.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        on_batch: Callable[[BatchFacts], None],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._batcher: Batcher[_Item] = Batcher(
            max_batch=engine.max_batch,
            clock=time.monotonic,
            in_flight=engine.in_flight,
            lanes=engine.lanes,
        )
        self._threads = ThreadPoolExecutor(engine.in_flight, thread_name_prefix="engine")
        self._running: set[Future[list[Prediction]]] = set()
        self._open = False
        self._scheduled: asyncio.Handle | None = None

    @property
    def queued(self) -> int:
        """Number of faces that wait."""
        return len(self._batcher)

    @property
    def oldest_age(self) -> float:
        """Seconds that the oldest of them has waited."""
        return self._batcher.oldest_age

    @property
    def times(self) -> Affine:
        """Learned seconds of a batch by its number of faces."""
        return self._batcher.times

    def start(self) -> None:
        """Start the threads and begin to run batches."""
        # All threads now, because later the system may refuse to start one.
        go_on = threading.Event()
        for _ in range(self._engine.in_flight):
            self._threads.submit(go_on.wait)
        go_on.set()
        self._open = True
        self._dispatch_soon()

    def drain(self) -> None:
        """Hold no batch back from now on; called when the server shuts down."""
        self._batcher.drain()
        self._dispatch_soon()

    async def close(self) -> None:
        """Stop after the batches in flight; faces that still wait get no answer."""
        self._open = False
        await asyncio.gather(*map(asyncio.wrap_future, self._running), return_exceptions=True)
        self._threads.shutdown()

    async def infer(
        self,
        crop: U8,
        turn: Turn = FIRST_COME,
        latest_start: float = NEVER,
    ) -> Inferred:
        """Run the network on a face, in a batch with others.

        Args:
            crop: (208, 208, 3) uint8 RGB.
            turn: its place in the queue.
            latest_start: when it is too late to begin, on ``time.monotonic``.

        Raises:
            Overloaded: it is too late already.
            DeadlinePassed: it became too late while the face waited.
            Internal: the network failed.
        """
        if (late := time.monotonic() - latest_start) > 0:
            raise Overloaded("the face cannot be done before the deadline", retry_seconds=late)
        answer: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        entry = self._batcher.put(_Item(crop, answer), turn, latest_start=latest_start)
        self._dispatch_soon()
        try:
            return await answer
        finally:
            # Frees the place when the caller was cancelled; otherwise no effect.
            self._batcher.withdraw(entry)

    def _dispatch_soon(self) -> None:
        """Dispatch in the next turn of the event loop, after faces that are queued in this one."""
        if isinstance(self._scheduled, asyncio.TimerHandle):
            self._scheduled.cancel()
        elif self._scheduled is not None:
            return
        self._scheduled = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Start all batches that should leave now."""
        self._scheduled = None
        if not self._open:
            return
        try:
            while self._next():
                pass
        except Exception:
            self._give_up()
            return
        if (until := self._batcher.wake_at) < float("inf"):
            seconds = max(0.0, until - time.monotonic())
            self._scheduled = asyncio.get_running_loop().call_later(seconds, self._dispatch)

    def _next(self) -> bool:
        """Start a batch; return False if none should leave."""
        batch = self._batcher.take()
        for entry in batch.expired:
            _fail(entry, DeadlinePassed("the deadline cannot be met any more"))
        if not batch.entries:
            return False
        began = time.monotonic()
        crops = [entry.item.crop for entry in batch.entries]
        run = self._threads.submit(self._engine.run, crops)
        self._running.add(run)
        loop = asyncio.get_running_loop()
        run.add_done_callback(
            lambda run: loop.call_soon_threadsafe(self._served, batch, began, run)
        )
        return True

    def _served(self, batch: Batch[_Item], began: float, run: Future[list[Prediction]]) -> None:
        self._running.discard(run)
        error = run.exception()
        self._batcher.done(batch, usual=error is None)
        self._dispatch_soon()
        if error is not None:
            log.error("a batch of %d failed", len(batch.entries), exc_info=error)
            for entry in batch.entries:
                _fail(entry, Internal("the network failed"))
            return
        try:
            self._answer(batch.entries, run.result(), began, batch.reason)
        except Exception:
            self._give_up()

    def _give_up(self) -> None:
        """Report a defect in this module, after which no face would be answered."""
        log.critical("inference failed", exc_info=True)
        self._open = False
        self._on_failure()

    def _answer(
        self,
        entries: Sequence[Entry[_Item]],
        predictions: Sequence[Prediction],
        began: float,
        reason: str,
    ) -> None:
        seconds = time.monotonic() - began
        gone = 0
        for entry, prediction in zip(entries, predictions, strict=True):
            if entry.item.answer.done():
                gone += 1
                continue
            if not prediction.sound:
                log.error("the model output is invalid")
                _fail(entry, Internal("the model output is invalid"))
                continue
            waited = began - entry.queued_at
            entry.item.answer.set_result(Inferred(prediction, len(entries), waited, seconds))
        rows = self._engine.rows(len(entries))
        self._on_batch(BatchFacts(len(entries), rows, reason, seconds, gone))


def _fail(entry: Entry[_Item], error: ProtomeError) -> None:
    if not entry.item.answer.done():
        entry.item.answer.set_exception(error)
