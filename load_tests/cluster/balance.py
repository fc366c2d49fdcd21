"""Measure how evenly calls spread over 1, 2 and 4 servers, balanced by client or proxy.

Run: ``python -m load_tests.cluster.balance``
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Final

from .ghz import Load, failed, tools
from .nodes import Cluster, eventually

#: Least number of calls that are counted.
CALLS: Final = 160
#: Limit of the most calls of a server over the fewest of another.
EVEN: Final = 1.2


def spread(cluster: Cluster, programs: Path, way: str, calls: int) -> tuple[list[float], float]:
    """Return the photos by server and the photos per second of calls that are balanced one way.

    Counting starts once the client knows all servers, because it connects to one before the others.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(
            cluster.dns() if way == "round_robin" else cluster.proxy(programs / "haproxy")
        )
        began = cluster.begun()
        load = Load(programs / "ghz", target, folder, parallel=8, stop=("-n", str(2 * calls)))
        stack.callback(load.kill)
        eventually(
            lambda: all(now > then for now, then in zip(cluster.begun(), began, strict=True)),
            "every server gets calls",
        )
        before = cluster.begun()
        report = load.result()
        assert not failed(report), report["statusCodeDistribution"]
        after = cluster.begun()
    assert sum(after) - sum(began) == 2 * calls
    counts = [now - then for now, then in zip(after, before, strict=True)]
    assert sum(counts) >= calls, "most of them were counted"
    assert max(counts) / min(counts) < EVEN, counts
    return counts, float(report["rps"])


def main() -> None:
    """Print a row for each number of servers and way of balancing."""
    programs = tools()
    print("| servers | balanced by | calls by server | max / min | photos/s |")
    print("|---|---|---|---|---|")
    for size in (1, 2, 4):
        with Cluster(size) as cluster:
            for way in ("round_robin", "haproxy"):
                counts, rate = spread(cluster, programs, way, CALLS)
                each = ", ".join(f"{count:.0f}" for count in counts)
                uneven = max(counts) / min(counts)
                print(f"| {size} | {way} | {each} | {uneven:.3f} | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    main()
