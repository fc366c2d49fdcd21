"""Faults inside a server: put on its path by the tests, told by a file what to do from then on.

Python imports a module of this name at startup. The first word of the file that FAULT_FILE names
is the fault, the second its measure.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

NO_NUMBERS = {"nan": float("nan"), "infinite": float("inf"), "beyond": 3e38}
FILE = Path(os.environ["FAULT_FILE"])


def fault() -> tuple[str, float]:
    """What to do now."""
    try:
        name, _, measure = FILE.read_text().partition(" ")
    except OSError:
        # No descriptor is left: another fault than ours.
        return "none", 0.0
    return name, float(measure or 0)


def break_network() -> None:
    """The network raises, talks nonsense or finds no memory for more than so many faces."""

    from protome.model.session import Session

    run = Session.run

    def broken(self, feeds, names):  # type: ignore[no-untyped-def]
        name, measure = fault()
        if name == "raise":
            raise RuntimeError("the network is broken")
        if name == "memory" and len(feeds["crops"]) > measure:
            raise RuntimeError("CUDA failure 2: out of memory")
        values = dict(run(self, feeds, names))
        if name == "shape":
            values = {key: value[:, :-1] for key, value in values.items()}
        if name in NO_NUMBERS:
            for key, value in values.items():
                if value.dtype.kind == "f":
                    wrong = value.copy()
                    # Of all faces, or of the first of each batch.
                    wrong[: 1 if measure else None] = NO_NUMBERS[name]
                    values[key] = wrong
        return values

    Session.run = broken  # type: ignore[method-assign]


def jump_clock() -> None:
    """The wall clock is off by so many seconds; so is every other read of it by the reverse."""
    real, real_ns = time.time, time.time_ns
    sign = 1

    def jumped() -> float:
        nonlocal sign
        name, measure = fault()
        sign = -sign
        return real() + sign * measure * (name == "clock")

    time.time = jumped
    time.time_ns = lambda: real_ns() + int(1e9 * (jumped() - real()))


def end_grpc() -> None:
    """gRPC shuts itself down, as it does when it meets what it did not expect."""

    import grpc.aio

    create = grpc.aio.server
    # asyncio itself keeps no reference to a task.
    tasks: list[asyncio.Task[None]] = []

    def created(*args, **options):  # type: ignore[no-untyped-def]
        server = create(*args, **options)
        start = server.start

        async def started() -> None:
            await start()
            tasks.append(asyncio.create_task(end(server)))

        server.start = started  # type: ignore[method-assign]
        return server

    async def end(server) -> None:  # type: ignore[no-untyped-def]
        while fault()[0] != "end":  # noqa: ASYNC110 (told by a file)
            await asyncio.sleep(0.05)
        await server.stop(None)

    grpc.aio.server = created


if "serve" in sys.orig_argv:
    # Before gRPC and NumPy, as the command has it.
    import protome.environment  # noqa: F401

    jump_clock()
    break_network()
    end_grpc()
