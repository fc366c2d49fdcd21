"""Define ghz's scenarios: closed loops, open loops, rising load, streams of many photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["closed", "open", "steps", "stream"]

# Clients and connections.
CLOSED: Final = ((1, 1), (2, 1), (8, 1), (8, 8), (32, 4))
# Rates of open loops, as shares of the highest rate of the closed loops.
OPEN: Final = (0.5, 0.8, 1.0, 1.5, 3.0)
# From this load on calls have a deadline; without one the queue would grow all the time.
OVERLOAD: Final = 1.5
DEADLINE_SECONDS: Final = 2
STREAMS: Final = (1, 4)
STREAM_PHOTOS: Final = 8
STEPS: Final = 4


@dataclass(frozen=True)
class Scenario:
    """One run of ghz.

    Attributes:
        name: name in the table.
        kind: the quantity that is varied.
        load: number of clients, calls per second or streams.
        flags: flags of ghz.
        photos: photos of each call.
    """

    name: str
    kind: Kind
    load: float
    flags: tuple[str, ...]
    photos: int = 1


def closed(clients: int, connections: int, stop: tuple[str, ...]) -> Scenario:
    """Make clients that send the next call once the last is answered.

    Args:
        clients: number of clients.
        connections: connections that they share.
        stop: flags of ghz for when to end.
    """
    name = f"closed, {count(clients, 'client')}, {count(connections, 'connection')}"
    flags = (f"--concurrency={clients}", f"--connections={connections}", *stop)
    return Scenario(name, "closed", clients, flags)


def opened(part: float, capacity: float, seconds: float) -> Scenario:
    """Make calls at a constant rate, ``part`` of ``capacity`` calls per second."""
    rate = max(1, round(part * capacity))
    name = f"open, {rate}/s ({part:g} of capacity)"
    flags = ["--async", f"--rps={rate}", f"--total={max(1, round(rate * seconds))}"]
    flags += ["--concurrency=16", "--connections=4"]
    if part >= OVERLOAD:
        name += f", deadline {DEADLINE_SECONDS} s"
        flags.append(f"--timeout={DEADLINE_SECONDS}s")
    return Scenario(name, "open", rate, tuple(flags))


def steps(capacity: float, seconds: float) -> Scenario:
    """Make calls at a rate that rises to ``capacity`` in equal steps of ``seconds`` each."""
    step = max(1, round(capacity / STEPS))
    total = round(sum(range(step, step * STEPS + 1, step)) * seconds)
    flags = (
        *("--async", "--load-schedule=step", f"--load-start={step}", f"--load-step={step}"),
        *(f"--load-end={step * STEPS}", f"--load-step-duration={round(1e3 * seconds)}ms"),
        *(f"--total={total}", "--concurrency=16", "--connections=4"),
    )
    return Scenario(f"steps, {step} to {step * STEPS}/s", "steps", step * STEPS, flags)


def stream(streams: int, stop: tuple[str, ...]) -> Scenario:
    """Make ReconstructMany calls in closed loops, each with several photos."""
    name = f"{count(streams, 'stream')} of {STREAM_PHOTOS} photos"
    flags = (f"--concurrency={streams}", *stop)
    return Scenario(name, "stream", streams, flags, STREAM_PHOTOS)


def count(number: int, noun: str) -> str:
    """Format a number and a noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
