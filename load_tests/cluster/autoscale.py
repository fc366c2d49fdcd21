"""Check when the autoscalers would scale, by their formula on recorded metrics of a real load.

A real Prometheus scrapes real servers and evaluates the shipped rules; queries and thresholds are
those of overlays/autoscale-keda (overlays/autoscale-hpa has the same).

Run: ``python -m load_tests.cluster.autoscale``
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from load_tests.machine import free_port

from .ghz import ROOT, Load, tools
from .nodes import Cluster, eventually

SERVERS: Final = 2
#: (seconds, calls in flight, calls per second; 0: a closed loop).
PHASES: Final = ((45, 2, 2), (90, 24, 0), (60, 2, 2))
STEP: Final = 15
#: The HPA keeps the number of pods if the ratio is this close to 1 (its default).
TOLERANCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Aim:
    """A trigger: a query of the sum over pods, and the target value per pod."""

    query: str
    threshold: float


def desired(sums: Sequence[float], aims: Sequence[Aim], pods: int, low: int, high: int) -> int:
    """Return the pods that the HPA wants: the largest ceil(sum / threshold) of all metrics."""
    wanted = []
    for total, aim in zip(sums, aims, strict=True):
        ratio = total / pods / aim.threshold
        close = abs(ratio - 1) <= TOLERANCE
        wanted.append(pods if close else math.ceil(total / aim.threshold))
    return min(max(*wanted, low), high)


def scaled_object(programs: Path) -> tuple[list[Aim], dict[str, Any], dict[str, Any]]:
    """Return the triggers and spec of the shipped ScaledObject, and the shipped rules."""
    folder = ROOT / "deploy" / "overlays" / "autoscale-keda"
    built = subprocess.run(
        [programs / "kustomize", "build", folder], capture_output=True, check=True, text=True
    ).stdout
    found = {item["kind"]: item["spec"] for item in yaml.safe_load_all(built) if "spec" in item}
    triggers = [trigger["metadata"] for trigger in found["ScaledObject"]["triggers"]]
    aims = [Aim(t["query"], float(t["threshold"])) for t in triggers]
    return aims, found["ScaledObject"], found["PrometheusRule"]


@contextlib.contextmanager
def prometheus(program: Path, cluster: Cluster, rules: dict[str, Any]) -> Iterator[str]:
    """Run a Prometheus that scrapes the cluster's nodes as pods; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="protome-") as name:
        folder, port = Path(name), free_port()
        targets = [
            {"targets": [node.http], "labels": {"namespace": "protome", "pod": f"pod-{n}"}}
            for n, node in enumerate(cluster.nodes)
        ]
        config = {
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "protome", "static_configs": targets}],
        }
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [
            program,
            *(f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
        ]
        with subprocess.Popen(command) as process:
            try:
                eventually(lambda: _ready(url), "Prometheus is ready")
                yield url
            finally:
                process.kill()


def _ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
        return True
    return False


def series(url: str, query: str, start: float, end: float) -> dict[int, float]:
    """Return the values of a query by seconds since the start."""
    asked = {"query": query, "start": str(start), "end": str(end), "step": str(STEP)}
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        results = json.load(answer)["data"]["result"]
    assert len(results) == 1, f"{query} gives {len(results)} series"
    return {round(at - start): float(value) for at, value in results[0]["values"]}


def main() -> None:
    """Print the timeline."""
    programs = tools()
    aims, spec, rules = scaled_object(programs)
    low, high = spec["minReplicaCount"], spec["maxReplicaCount"]
    with (
        Cluster(SERVERS) as cluster,
        prometheus(programs / "prometheus", cluster, rules) as url,
        cluster.dns() as target,
        tempfile.TemporaryDirectory() as folder,
    ):
        time.sleep(STEP)
        start = time.time()
        for seconds, parallel, rate in PHASES:
            Load(
                *(programs / "ghz", target, Path(folder)),
                parallel=parallel,
                stop=("-z", f"{seconds}s"),
                rate=rate,
            ).result()
        rows = [series(url, aim.query, start, time.time()) for aim in aims]
        rates = series(url, "sum(rate(protome_requests_total[30s]))", start, time.time())
    print(
        f"servers: {SERVERS}; triggers: {', '.join(f'{a.query} / {a.threshold:g}' for a in aims)}"
    )
    print("| s | photos/s | in flight | queue s/photo, summed | pods wanted |")
    print("|---|---|---|---|---|")
    wanted: dict[int, int] = {}
    for at in sorted(set.intersection(*(set(row) for row in [*rows, rates]))):
        sums = [row[at] for row in rows]
        wanted[at] = desired(sums, aims, SERVERS, low, high)
        print(f"| {at} | {rates[at]:.1f} | {sums[0]:.1f} | {sums[1]:.2f} | {wanted[at]} |")
    first = PHASES[0][0]
    assert all(n == low for at, n in wanted.items() if at <= first), "no pods are added while idle"
    up = min(at for at, n in wanted.items() if n > SERVERS)
    print(f"scales out {up - first} s after the load rose; KEDA acts up to {STEP} s later")
    assert up - first <= 45


if __name__ == "__main__":
    main()
