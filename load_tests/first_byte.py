"""Measure the time to the first byte of a mesh; ghz only measures the time to the end of a stream.

Runs closed loops of the load generator of ``protome bench`` in a process of its own, with and
without a preview sent first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from protome.bench.load import Spec, Tally
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE

from .ghz.payload import OPTIONS

PREVIEW: Final = {**OPTIONS, "preview_first": True}
LOADS: Final[Sequence[tuple[str, int, Mapping[str, Any]]]] = (
    ("1 client", 1, OPTIONS),
    ("8 clients", 8, OPTIONS),
    ("1 client, preview first", 1, PREVIEW),
    ("8 clients, preview first", 8, PREVIEW),
)
HEAD: Final = """\
| closed loop | answers/s | first byte p50 ms | p95 ms | p99 ms | whole p50 ms | p95 ms | p99 ms |
|---|---|---|---|---|---|---|---|
"""


def measure(address: str, clients: int, options: Mapping[str, Any], seconds: float) -> Tally:
    """Run one closed loop."""
    spec = Spec(address, [str(SAMPLE)], dict(options), clients=clients, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-m", "protome.bench.load"],
        input=json.dumps(asdict(spec)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Tally(**json.loads(done.stdout))


def row(name: str, tally: Tally) -> str:
    """Format a loop as a row of the table."""
    times = [
        f"{1e3 * quantile(values, part):.0f}"
        for values in (tally.first_bytes, tally.latencies)
        for part in (0.5, 0.95, 0.99)
    ]
    return f"| {name} | {tally.good / tally.seconds:.1f} | {' | '.join(times)} |"


def quantile(values: Sequence[float], part: float) -> float:
    """Return a quantile by the nearest rank; NaN of no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def table(address: str, seconds: float) -> str:
    """Run all loops; return the table."""
    rows = (row(name, measure(address, n, options, seconds)) for name, n, options in LOADS)
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Print the table of a running server or of one started here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="HOST:PORT of a server; without it one is started")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each loop")
    args = parser.parse_args()
    if args.address:
        print(table(args.address, args.seconds))
    else:
        with EmbeddedServer() as server:
            print(table(server.address, args.seconds))


if __name__ == "__main__":
    main()
