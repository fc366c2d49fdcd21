"""Crop in, volume out, for many requests at a time: the batcher feeds the engine."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from protome.errors import DeadlinePassed, Internal, Overloaded, ProtomeError
from protome.geometry import U8, Level
from protome.model.engine import Engine, Prediction
from protome.scheduling.batcher import Batch, Batcher, BatchFacts, Due, Hopeless, QueueFull, Ticket
from protome.scheduling.learned_times import Affine

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
    """Owns the queue of faces and the threads the engine runs in.

    Args:
        engine: the network.
        capacity: faces that may wait.
        on_batch: told of each batch; must not raise.
        on_failure: told when no face will be served any more.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        capacity: int,
        on_batch: Callable[[BatchFacts], None],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._batcher: Batcher[_Item] = Batcher(
            max_batch=engine.max_batch,
            capacity=capacity,
            clock=time.monotonic,
            in_flight=engine.in_flight,
            lanes=engine.lanes,
        )
        self._threads = ThreadPoolExecutor(engine.in_flight, thread_name_prefix="engine")
        self._running: set[Future[list[Prediction]]] = set()
        self._open = False
        self._due: asyncio.Handle | None = None

    @property
    def queued(self) -> int:
        """Faces waiting."""
        return len(self._batcher)

    @property
    def oldest_age(self) -> float:
        """Seconds the first of them has waited."""
        return self._batcher.oldest_age

    @property
    def times(self) -> Affine:
        """Seconds of a batch by its faces, as learned."""
        return self._batcher.times

    def start(self) -> None:
        """Begin to take batches."""
        # All threads now: later the system might deny one.
        go_on = threading.Event()
        for _ in range(self._engine.in_flight):
            self._threads.submit(go_on.wait)
        go_on.set()
        self._open = True
        self._soon()

    def drain(self) -> None:
        """The server is shutting down: hold nothing back."""
        self._batcher.drain()
        self._soon()

    async def close(self) -> None:
        """Stop after the batches in flight; faces still waiting get no answer."""
        self._open = False
        await asyncio.gather(*map(asyncio.wrap_future, self._running), return_exceptions=True)
        self._threads.shutdown()

    async def infer(
        self,
        crop: U8,
        levels: Collection[Level],
        due: Due,
        *,
        stream: Hashable = None,
        priority: int = 0,
    ) -> Inferred:
        """The volumes of a face.

        Args:
            crop: (192, 192, 3) uint8 RGB.
            levels: of those that the network predicts.
            due: when it is wanted, on ``time.monotonic``.
            stream: shares its turns; see :class:`fairqueue.Turn`.
            priority: lower goes first.

        Raises:
            Overloaded: the queue is full, or too long to be done in time.
            DeadlinePassed: it got too late while the face waited.
            Internal: the network failed.
        """
        answer: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        try:
            ticket = self._batcher.put(
                _Item(crop, levels, answer), due, stream=stream, priority=priority
            )
        except QueueFull:
            raise Overloaded("the queue of faces is full", queued=self.queued) from None
        except Hopeless as hopeless:
            raise Overloaded(
                "the face cannot be done before the deadline", retry_seconds=hopeless.wait
            ) from None
        self._soon()
        try:
            return await answer
        finally:
            # No effect once it was answered; frees the place when the caller was cancelled.
            self._batcher.withdraw(ticket)

    def _soon(self) -> None:
        """Look for a batch once everybody had a chance who would put a face in at this moment."""
        if isinstance(self._due, asyncio.TimerHandle):
            self._due.cancel()
        elif self._due is not None:
            return
        self._due = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Send all batches off that should leave now."""
        self._due = None
        if not self._open:
            return
        try:
            while self._next():
                pass
        except Exception:
            self._ended()
            return
        if (until := self._batcher.wake_at) < float("inf"):
            seconds = max(0.0, until - time.monotonic())
            self._due = asyncio.get_running_loop().call_later(seconds, self._dispatch)

    def _next(self) -> bool:
        """Send a batch off; False if none should leave."""
        batch = self._batcher.take()
        for ticket in batch.expired:
            _fail(ticket, DeadlinePassed("the deadline cannot be met any more"))
        if not batch.tickets:
            return False
        began = time.monotonic()
        crops = [ticket.item.crop for ticket in batch.tickets]
        wanted = [ticket.item.levels for ticket in batch.tickets]
        run = self._threads.submit(self._engine.run, crops, wanted)
        self._running.add(run)
        loop = asyncio.get_running_loop()
        run.add_done_callback(
            lambda run: loop.call_soon_threadsafe(self._served, batch, began, run)
        )
        return True

    def _served(self, batch: Batch[_Item], began: float, run: Future[list[Prediction]]) -> None:
        self._running.discard(run)
        error = run.exception()
        # Large volumes take their time apart: STANDARD's must not be judged by it.
        large = any(self._engine.model.large(ticket.item.levels) for ticket in batch.tickets)
        self._batcher.done(batch, usual=error is None and not large)
        self._soon()
        if error is not None:
            log.error("a batch of %d failed", len(batch.tickets), exc_info=error)
            for ticket in batch.tickets:
                _fail(ticket, Internal("the network failed"))
            return
        try:
            self._answer(batch.tickets, run.result(), began, batch.reason)
        except Exception:
            self._ended()

    def _ended(self) -> None:
        """A defect of ours: nobody would be answered any more."""
        log.critical("inference ended", exc_info=True)
        self._open = False
        self._on_failure()

    def _answer(
        self,
        tickets: Sequence[Ticket[_Item]],
        predictions: Sequence[Prediction],
        began: float,
        reason: str,
    ) -> None:
        seconds = time.monotonic() - began
        gone = 0
        for ticket, prediction in zip(tickets, predictions, strict=True):
            if ticket.item.answer.done():
                gone += 1
                continue
            if not prediction.sound:
                log.error("the network gave something that is no number")
                _fail(ticket, Internal("the network gave something that is no number"))
                continue
            waited = began - ticket.queued_at
            ticket.item.answer.set_result(Inferred(prediction, len(tickets), waited, seconds))
        rows = self._engine.rows(len(tickets))
        self._on_batch(BatchFacts(len(tickets), rows, reason, seconds, gone))


def _fail(ticket: Ticket[_Item], error: ProtomeError) -> None:
    if not ticket.item.answer.done():
        ticket.item.answer.set_exception(error)
