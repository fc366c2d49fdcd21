"""Restart every server, one after the other, under load: no call may fail.

Run in load_tests: ``python -m cluster.rollout [SERVERS]``
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .ghz import Load, failed, tools
from .nodes import Cluster, Node, eventually


def rollout(cluster: Cluster, programs: Path, way: str, *, parallel: int = 4) -> dict[str, Any]:
    """Restart all servers of a cluster as a Deployment would; ghz's report."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(
            cluster.dns() if way == "round_robin" else cluster.proxy(programs / "haproxy")
        )
        load = Load(programs / "ghz", target, folder, parallel=parallel, stop=("-z", "10m"))
        stack.callback(load.kill)
        time.sleep(2)
        for node in cluster.nodes:
            _await_calls(node)
            assert node.terminate() == 0
            node.start()
            # As minReadySeconds does: the next one goes once clients have come back to this one.
            _await_calls(node)
        load.interrupt()
        return load.result()


def _await_calls(node: Node) -> None:
    eventually(lambda: node.metric("protome_requests_total") >= 3, "calls come to it", 60)


def main() -> None:
    """Print a row for each way of balancing."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    programs = tools()
    print("| servers | balanced by | calls while all were restarted | failed | p99 |")
    print("|---|---|---|---|---|")
    for way in ("round_robin", "haproxy"):
        with Cluster(size) as cluster:
            report = rollout(cluster, programs, way)
        tail = next(p["latency"] for p in report["latencyDistribution"] if p["percentage"] == 99)
        count, lost = report["count"], failed(report)
        print(f"| {size} | {way} | {count} | {lost or 0} | {tail / 1e9:.2f} s |", flush=True)
        assert not lost


if __name__ == "__main__":
    main()
