"""Restart all servers one after the other under load, and check that no call fails.

Three kinds of clients run at the same time, each in its usual configuration:

* ``health``: ghz with client-side balancing and health watching, as in the service config;
* ``proxy``: ghz behind HAProxy, which checks /readyz;
* ``retries``: a client with client-side balancing that cannot watch health. Some of its calls reach
  a server while it stops; gRPC ends them as CANCELLED, and they are retried by the service config.

The first two do not retry, so that every attempt that ghz counts must succeed.

Run: ``python -m load_tests.cluster.rollout [SERVERS [TIMES]]``
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from protome.client import make_request
from protome.sample import SAMPLE

from . import calls
from .ghz import Load, lost, tools
from .nodes import Cluster, Node, eventually


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of one kind of clients.

    Attributes:
        count: number of calls.
        lost: (time, status and message) of each failed call.
    """

    count: int
    lost: Sequence[tuple[float, str]]


def rollout(cluster: Cluster, programs: Path, *, parallel: int = 2) -> dict[str, Outcome]:
    """Restart all servers of a cluster as a Deployment would; return results by kind of client.

    Args:
        cluster: at least two servers.
        programs: folder of ghz and HAProxy.
        parallel: calls in flight of each kind of client.
    """
    request = make_request(SAMPLE.read_bytes(), detail="preview", appearance="none")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loads = {}
        for kind, program, target in (
            ("health", "ghz-health", cluster.dns()),
            ("proxy", "ghz", cluster.proxy(programs / "haproxy")),
        ):
            (folder / kind).mkdir()
            loads[kind] = Load(
                *(programs / program, stack.enter_context(target), folder / kind),
                parallel=parallel,
                stop=("-z", "10m"),
            )
            stack.callback(loads[kind].kill)
        channel = stack.enter_context(calls.without_health(cluster.target))
        clients = [loads["health"].pid, os.getpid()]
        events: list[tuple[float, str]] = []
        with calls.callers(calls.events(channel, request), parallel) as made:
            for node in cluster.nodes:
                _await_clients(node, clients)
            for node in cluster.nodes:
                events.append((time.time(), f"SIGTERM to {node.host}"))
                assert node.terminate() == 0
                events.append((time.time(), f"{node.host} has ended"))
                node.start()
                events.append((time.time(), f"{node.host} is ready"))
                # Like minReadySeconds: restart the next one once clients use this one again.
                _await_clients(node, clients)
        failed = [(c.ended, f"{c.code} {c.said}") for c in calls.failed(made)]
        outcomes = {"retries": Outcome(len(made), failed)}
        for kind, load in loads.items():
            load.interrupt()
            report = load.result()
            outcomes[kind] = Outcome(report["count"], lost(report))
    for kind, outcome in outcomes.items():
        for moment, said in outcome.lost:
            before = [event for event in events if event[0] <= moment] or events[:1]
            after = f"{moment - before[-1][0]:.3f} s after {before[-1][1]}"
            print(f"{kind} lost a call {after}: {said}", file=sys.stderr)
    return outcomes


def _await_clients(node: Node, clients: Sequence[int]) -> None:
    """Wait until these processes are connected to a server and it has answered some photos."""
    eventually(
        lambda: all(_connected(client, node.address) for client in clients), "clients connect", 60
    )
    node.await_photos(3)


def _connected(process: int, address: str) -> bool:
    return any(
        connection.status == psutil.CONN_ESTABLISHED
        and connection.raddr
        # gRPC for Python uses sockets for both IPv4 and IPv6.
        and f"{connection.raddr.ip.removeprefix('::ffff:')}:{connection.raddr.port}" == address
        for connection in psutil.Process(process).net_connections("tcp")
    )


def main() -> None:
    """Print a row for each rollout and kind of client."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    programs = tools()
    print("| rollout | servers | clients | calls | failed |")
    print("|---|---|---|---|---|")
    any_lost = False
    with Cluster(size) as cluster:
        for number in range(1, times + 1):
            for kind, outcome in rollout(cluster, programs).items():
                any_lost = any_lost or bool(outcome.lost)
                row = (number, size, kind, outcome.count, len(outcome.lost))
                print("|", " | ".join(map(str, row)), "|", flush=True)
    assert not any_lost


if __name__ == "__main__":
    main()
