"""Send the metadata, the messages and the status of a gRPC call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import grpc

from protome.errors import ProtomeError
from protome.telemetry.context import CURRENT, Call, request_id

from . import status

# gRPC reports a message over its limit as the end of the messages, and cancels the call a moment
# later; how long to wait for that.
LOST_MESSAGE_SECONDS: Final = 0.05

Context = grpc.aio.ServicerContext[Any, Any]
Write = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def respond(context: Context) -> AsyncIterator[tuple[Call, Write]]:
    """Yield the current call and a function that writes its messages.

    A :class:`ProtomeError` of the block becomes the status of the call. The ids of the call are
    sent before its first message and with its status: sent earlier, they would keep clients from
    retrying a call that has no message yet.
    """
    call = CURRENT.get() or Call(request_id([]))
    ids = call.metadata
    context.set_trailing_metadata(ids)
    metadata: asyncio.Future[None] | None = None
    writing: asyncio.Future[None] | None = None
    code = grpc.StatusCode.OK

    async def write(message: Any) -> None:
        nonlocal metadata, writing
        if metadata is None:
            # If this were cancelled, gRPC would send the metadata again with the status, and fail.
            metadata = asyncio.ensure_future(context.send_initial_metadata(ids))
        await _finish(metadata)
        # gRPC finishes a message whose writer was cancelled, and refuses another one meanwhile.
        while writing is not None and not writing.done():
            await asyncio.wait({writing})
        writing = asyncio.ensure_future(context.write(message))
        await _finish(writing)

    try:
        yield call, write
    except ProtomeError as error:
        code = status.code(error)
        if metadata is not None:
            await asyncio.wait({metadata})
        await _abort(context, error, ids)
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except BaseException:
        code = grpc.StatusCode.UNKNOWN
        raise
    finally:
        call.span.end(code.name)


def deadline_of(context: Context) -> float:
    """Return the deadline of a call on ``time.monotonic``; infinity without one."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


async def _finish(sending: asyncio.Future[None]) -> None:
    """Wait for a task that sends; it continues when its caller is cancelled."""
    if not sending.done():
        try:
            # Not asyncio.shield(), which takes twice as many turns of the event loop.
            await asyncio.wait({sending})
        except asyncio.CancelledError:
            sending.add_done_callback(_mark_retrieved)
            raise
    sending.result()


def _mark_retrieved(sent: asyncio.Future[None]) -> None:
    """Keep asyncio from logging an exception that no caller waits for any more."""
    if not sent.cancelled():
        sent.exception()


async def _abort(
    context: Context, error: ProtomeError, ids: tuple[tuple[str, str], ...]
) -> NoReturn:
    trailers: tuple[tuple[str, str | bytes], ...] = (*status.trailers(error), *ids)
    try:
        await context.abort(status.code(error), error.message, trailers)
    except (grpc.aio.AbortError, TypeError):
        raise
    except Exception:
        # gRPC raises an error without a public type when the call is over already.
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")
