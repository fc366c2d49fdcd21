"""Part 3: the generator's rate on the GPU and on the CPU's cores."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .common import Results, arguments


def render_rate(head: str, data: Path | None, device: str, count: int) -> dict[str, Any]:
    """Measure samples per second of one process, the first batch, which warms up, apart."""
    import torch

    from protome_export.render.sample import Synthesizer

    if device == "cpu":
        torch.set_num_threads(1)
    synthesizer = Synthesizer.load(head, data, device)
    began = time.perf_counter()
    synthesizer.samples(range(synthesizer.together))
    warm = time.perf_counter()
    samples = synthesizer.samples(range(1000, 1000 + count))
    seconds = time.perf_counter() - warm
    found = {"first_seconds": warm - began, "per_second": count / seconds, "count": len(samples)}
    if device != "cpu":
        found["peak_bytes"] = torch.cuda.max_memory_allocated()
    return found


def main() -> int:
    args = arguments(__doc__)
    results = Results(args.out / "factory.json")
    head = str(args.data / "ict_facekit.npz") if args.data else "tiny"
    with results.step("cpu"):
        results.add("one core", render_rate(head, args.data, "cpu", 8 if args.dry else 64))
    if not args.dry:
        with results.step("cuda"):
            results.add("cuda", render_rate(head, args.data, "cuda", 2048))
        folder = args.out / "shards"  # for the part that trains
        with results.step("two processes"):
            began = time.perf_counter()
            processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "protome_export.cli", "generate", "--head", head,
                     *(["--data", str(args.data)] if args.data else []), "--seed", str(k * 10**6),
                     "--count", "3072", "--shard", "256", "--device", "cuda", str(folder)],
                    stdout=subprocess.DEVNULL,
                )
                for k in range(2)
            ]  # fmt: skip
            codes = [process.wait() for process in processes]
            seconds = time.perf_counter() - began
            results.add("two processes", {"status": codes, "per_second": 6144 / seconds})
    return results.failed


if __name__ == "__main__":
    sys.exit(main())
