"""A gRPC call being answered: what it tells the client beside the messages, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc

from protome.errors import ProtomeError
from protome.telemetry.context import CURRENT, Call, request_id

from . import status

Context = grpc.aio.ServicerContext[Any, Any]
Write = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[tuple[Call, Write]]:
    """The call that ``context`` is about, and how to write its messages.

    The call ends with the status of the :class:`ProtomeError` that the block raises. The ids of
    the call go out before its first message and with its status: sent earlier, they would keep
    clients from trying again by themselves when there is no message.
    """
    call = CURRENT.get() or Call(request_id([]))
    context.set_trailing_metadata(call.metadata)
    telling: asyncio.Future[None] | None = None
    writing: asyncio.Future[None] | None = None
    code = grpc.StatusCode.OK

    async def write(message: Any) -> None:
        nonlocal telling, writing
        if telling is None:
            telling = _begin(context.send_initial_metadata(call.metadata))
        # To be cancelled halfway would have gRPC send them again with the status, and fail.
        await asyncio.shield(telling)
        # gRPC goes on with a message whose writer was cancelled, and refuses another until then.
        while writing is not None and not writing.done():
            await asyncio.wait({writing})
        writing = _begin(context.write(message))
        await asyncio.shield(writing)

    try:
        yield call, write
    except ProtomeError as error:
        code = status.code(error)
        if telling is not None:
            await asyncio.wait({telling})
        await _abort(context, error, call)
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except BaseException:
        code = grpc.StatusCode.UNKNOWN
        raise
    finally:
        call.span.end(code.name)


def deadline_of(context: Context) -> float:
    """When the client gives up, on ``time.monotonic``."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


def _begin(sending: Awaitable[None]) -> asyncio.Future[None]:
    """Send, whatever becomes of who asked for it."""
    begun = asyncio.ensure_future(sending)
    begun.add_done_callback(_seen)
    return begun


def _seen(sent: asyncio.Future[None]) -> None:
    """Whoever waits hears of its failure; often nobody does any more."""
    if not sent.cancelled():
        sent.exception()


async def _abort(context: Context, error: ProtomeError, call: Call) -> NoReturn:
    trailers: tuple[tuple[str, str | bytes], ...] = (*status.trailers(error), *call.metadata)
    try:
        await context.abort(status.code(error), error.message, trailers)
    except (grpc.aio.AbortError, TypeError):
        raise
    except Exception:
        # gRPC's own, of no public type: there is no call any more to end.
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")
