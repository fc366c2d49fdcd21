"""Tables of load_tests/report/gpu.md from load_tests/report/gpu.json.

Run: ``python -m load_tests.gpu.report``; with ``--results DIR`` the results of a new run, rounded,
replace the parts of the file that they have, first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .__main__ import PARTS

FIGURES: Final = Path(__file__).parents[1] / "report" / "gpu.json"
# Of the raw results, what no table or sentence of the page uses.
_UNUSED: Final = {
    "bytes_per_second", "codes", "count", "cpu_over_offline", "demo", "failed", "files",
    "first_seconds", "generator_cores", "goodput_per_free_core",
    "latency_over_stage_sum", "microseconds_by_operator", "model_run_microseconds", "open",
    "over_offline", "providers", "rate_per_free_core", "runs", "stages",
    "worst_ms",
}  # fmt: skip


def rounded(value: Any) -> Any:
    """Drop what is not used, and keep four digits of each number."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items() if key not in _UNUSED}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(head: list[object], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines: list[list[object]] = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def batches(network: dict[str, Any]) -> Iterator[list[object]]:
    """Rows by batch size: time, rates and CUDA graphs."""
    for name, found in network.items():
        if name.startswith("speed ") and "run" in found:
            size = name.removeprefix("speed ")
            graph = network.get(f"cuda graph {size}")
            yield [
                size,
                f"{found['run']['median_ms']:.1f}",
                f"{found['io_binding']['median_ms']:.1f}" if "io_binding" in found else "-",
                f"{graph['median_ms']:.1f}" if graph else "-",
                f"{found['run']['per_second']:,.0f}",
                f"{found['two_in_flight']['per_second']:,.0f}",
                f"{found['two_in_flight']['per_second'] / found['run']['per_second']:.1f}",
            ]


def parities(network: dict[str, Any]) -> Iterator[list[object]]:
    """Header, then rows by batch size: CUDA in FP16 against the CPU provider, output by output."""
    parts = {name: found for name, found in network.items() if name.startswith("parity ")}
    columns = [key for key in next(iter(parts.values())) if not key.endswith(" largest")]
    yield ["batch", *columns]
    for name, found in parts.items():
        values = (f"{found[key]:.{4 if key.endswith(' iou') else 3}f}" for key in columns)
        yield [name.removeprefix("parity "), *values]


def loads(service: dict[str, Any]) -> Iterator[list[object]]:
    """Rows by batches in flight and clients."""
    for name, points in service.items():
        for point in points if name.endswith("in flight") else ():
            stage = point["stage_ms"]
            yield [
                name.split()[0],
                point["clients"],
                f"{point['rate']:.0f}",
                f"{1e3 * point['latency_p50']:.0f}",
                f"{1e3 * point['latency_p99']:.0f}",
                f"{point['mean_batch']:.1f}",
                f"{stage['worker_queue'] + stage['queue']:.0f}",
                f"{stage['inference']:.0f}",
                f"{point['cpu_ms_a_photo']:.0f}",
                f"{point['rate'] * point['cpu_ms_a_photo'] / 1e3:.1f}",
                f"{point['resident_mib'] / 1024:.1f}",
            ]


def alternations(network: dict[str, Any]) -> Iterator[list[object]]:
    """Rows by batch size: batches of alternating size, in one session and in a session per size."""
    one = network.get("alternating, one session, ms", {})
    each = network.get("alternating, session per size, ms", {})
    for size, value in one.items():
        yield [size, f"{value:.1f}", f"{each[size]:.1f}"]


def tables(figures: dict[str, Any]) -> dict[str, str]:
    """Return the tables of the page by title."""
    network, service = figures["network"], figures["service"]
    nodes = network["placement 32"]["nodes"]
    bench = service["bench"]
    compared = list(parities(network))
    found = {
        "placement": table(
            ["provider", "nodes", "of them"],
            [
                [
                    provider.removesuffix("ExecutionProvider"),
                    sum(kinds.values()),
                    ", ".join(f"{kind} {count}" for kind, count in kinds.items()),
                ]
                for provider, kinds in nodes.items()
            ],
        ),
        "network": table(
            ["batch", "ms", "IO binding ms", "CUDA graph ms", "faces/s", "two in flight: faces/s",
             "ratio"],
            list(batches(network)),
        ),
        "parity": table(compared[0], compared[1:]),
        "service": table(
            ["batches in flight", "clients", "photos/s", "p50 ms", "p99 ms", "faces in a batch",
             "queues ms", "network ms", "core ms a photo", "cores used", "RSS GiB"],
            list(loads(service)),
        ),
        "bench": table(
            ["clients", "photos/s", "p50 ms", "p99 ms", "core ms a photo"],
            [
                [
                    point["clients"],
                    f"{point['rate']:.0f}",
                    f"{1e3 * point['latency_p50']:.0f}",
                    f"{1e3 * point['latency_p99']:.0f}",
                    f"{1e3 * point['cpu_seconds']:.0f}",
                ]
                for point in bench["closed"]
            ],
        ),
        "training": table(
            ["training", "samples/s, median", "tenth to ninetieth percentile"],
            [
                [name, f"{found['median']:,.0f}", "{:,.0f} to {:,.0f}".format(*found["range"])]
                for name, found in figures["training"].items()
            ],
        ),
    }  # fmt: skip
    if rows := list(alternations(network)):
        found["alternating sizes"] = table(["batch", "one session ms", "session per size ms"], rows)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, metavar="DIR", help="folder of a run's results")
    args = parser.parse_args()
    figures = json.loads(FIGURES.read_text())
    if args.results:
        for part in PARTS:
            file = args.results / f"{part}.json"
            if file.exists():
                figures[part] = rounded(json.loads(file.read_text()))
        FIGURES.write_text(json.dumps(figures, separators=(",", ":")) + "\n")
    for title, text in tables(figures).items():
        print(f"{title}\n\n{text}")


if __name__ == "__main__":
    main()
