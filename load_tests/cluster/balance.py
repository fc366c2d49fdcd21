"""How evenly calls spread over 1, 2 and 4 servers, balanced by the client and by a proxy.

Run in load_tests: ``python -m cluster.balance``
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Final

from .ghz import Load, failed, tools
from .nodes import Cluster

CALLS: Final = 240
#: Most calls of a server over the least of another.
EVEN: Final = 1.2


def spread(cluster: Cluster, programs: Path, way: str, calls: int) -> tuple[list[float], float]:
    """Photos by server, and photos a second, of so many calls spread one way."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(
            cluster.dns() if way == "round_robin" else cluster.proxy(programs / "haproxy")
        )
        before = cluster.photos()
        load = Load(programs / "ghz", target, folder, parallel=8, stop=("-n", str(calls)))
        stack.callback(load.kill)
        report = load.result()
        assert not failed(report), report["statusCodeDistribution"]
        counts = [now - then for now, then in zip(cluster.photos(), before, strict=True)]
    assert sum(counts) == calls
    assert max(counts) / min(counts) < EVEN, counts
    return counts, float(report["rps"])


def main() -> None:
    """Print a row for each size and way."""
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
