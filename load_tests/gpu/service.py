"""Part 2: the service: the demo, closed loops by batches in flight and clients, `protome bench`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from protome.bench.bench import OPTIONS, stage_means, summarize
from protome.bench.service import Service
from protome.sample import SAMPLE

from .common import Results, arguments, gpu_memory_mib

BATCH_SIZES = "protome_batch_size_faces"


def closed(service: Service, clients: int, seconds: float) -> dict[str, Any]:
    """One closed loop: rate, latencies, cores by process kind, mean of each stage and batch."""
    first, cpu, loop = service.metrics(), service.cpu_seconds(), service.loop_seconds()
    tally = service.load([str(SAMPLE)], OPTIONS, clients=clients, seconds=seconds)
    last = service.metrics()
    whole = max(1, tally.calls)
    batches = last[f"{BATCH_SIZES}_count"] - first.get(f"{BATCH_SIZES}_count", 0.0)
    faces = last[f"{BATCH_SIZES}_sum"] - first.get(f"{BATCH_SIZES}_sum", 0.0)
    return summarize(tally) | {
        "clients": clients,
        "cpu_ms_a_photo": 1e3 * (service.cpu_seconds() - cpu) / whole,
        "loop_ms_a_photo": 1e3 * (service.loop_seconds() - loop) / whole,
        "mean_batch": faces / batches if batches else None,
        "stage_ms": {name: 1e3 * value for name, value in stage_means(first, last).items()},
        "resident_mib": service.memory() / 2**20,
        "gpu_mib": gpu_memory_mib(),
    }


def main() -> int:
    args = arguments(__doc__)
    results = Results(args.out / "service.json")
    seconds = 0.5 if args.dry else 3.0
    provider = "cpu" if args.dry else "cuda"
    environment = {**os.environ, "PROTOME_PROVIDER": provider}
    with results.step("demo"), tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "protome", "demo", "-o", folder]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        files = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
        if done.returncode:
            raise RuntimeError(done.stderr[-800:])
        results.add("demo", {"status": done.returncode, "files": files, "end": done.stdout[-800:]})
    plans = [(2, 32), (1, 32)] if not args.dry else [(1, 2)]
    for in_flight, batch in plans:
        name = f"{in_flight} batches of up to {batch} in flight"
        flags = ["--provider", provider, "--max-batches", str(in_flight), "--max-batch", str(batch)]
        with results.step(name), Service(flags) as service:
            service.load([str(SAMPLE)], OPTIONS, clients=8, seconds=1.0)
            loops = (1, 8, 32, 64) if not args.dry else (1, 2)
            rows: list[dict[str, Any]] = []
            for clients in loops:
                rows.append(closed(service, clients, seconds))
                results.add(name, rows)
                if rows[-1]["failed"] or not rows[-1]["rate"]:
                    raise RuntimeError(f"calls failed: {rows[-1]['failed']}")
            if in_flight == 2:
                before = service.memory()
                service.load([str(SAMPLE)], OPTIONS, clients=32, seconds=12.0)
                results.add("memory growth", {"before": before, "after": service.memory()})
    with results.step("bench"):
        command = [sys.executable, "-m", "protome", "bench", "--quick", "--json"]
        if not args.dry:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=150, check=True
            )
            results.add("bench", json.loads(done.stdout))
    return results.failed


if __name__ == "__main__":
    sys.exit(main())
