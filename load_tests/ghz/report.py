"""Format ghz's results as Markdown and as a picture (with matplotlib: the ``[peers]`` extra)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from .scenarios import DEADLINE_SECONDS, Kind, Scenario

PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True)
class Result:
    """Results of a scenario.

    Attributes:
        scenario: the scenario.
        calls: number of calls.
        rate: photos per second of successful calls.
        latencies: latency of successful calls, seconds by percentile.
        codes: number of calls by status, as ghz names it.
    """

    scenario: Scenario
    calls: int
    rate: float
    latencies: Mapping[int, float]
    codes: Mapping[str, int]

    @classmethod
    def of(cls, scenario: Scenario, report: Mapping[str, Any]) -> Self:
        """Read ghz's JSON report."""
        codes: dict[str, int] = report["statusCodeDistribution"] or {}
        found = report["latencyDistribution"] or ()
        return cls(
            scenario,
            report["count"],
            scenario.photos * codes.get("OK", 0) / (report["total"] / 1e9),
            {entry["percentage"]: entry["latency"] / 1e9 for entry in found},
            dict(sorted(codes.items())),
        )

    def latency(self, percentile: int) -> float:
        """Return a percentile of the latency in seconds; NaN if no call succeeded."""
        return self.latencies.get(percentile, float("nan"))


TABLE: Final = """\
| scenario | calls | photos/s | p50 ms | p95 ms | p99 ms | ended with |
|---|---|---|---|---|---|---|
"""


def row(result: Result) -> str:
    """Format a result as a row of the table."""
    times = " | ".join(f"{1e3 * result.latency(p):.0f}" for p in PERCENTILES)
    ends = ", ".join(f"{code} {count}" for code, count in result.codes.items())
    name = result.scenario.name
    return f"| {name} | {result.calls} | {result.rate:.1f} | {times} | {ends} |"


def markdown(results: Sequence[Result], first: str, machine: str, *, drawn: bool) -> str:
    """Return the report.

    Args:
        results: results of all scenarios.
        first: table of ``first_byte.py``.
        machine: description of the machine.
        drawn: whether there is a picture.
    """
    ends: Counter[str] = Counter()
    for result in results:
        ends.update(result.codes)
    total = ", ".join(f"{code} {count}" for code, count in sorted(ends.items()))
    return "\n".join(
        [
            "# Load test",
            "",
            "Written by `python -m load_tests.ghz.run --report FOLDER`. ghz, the server and its",
            "workers share the cores.",
            "",
            machine,
            "",
            *(["![latency, throughput and statuses by load](ghz.png)", ""] if drawn else []),
            "## ghz",
            "",
            "One photo per call, STANDARD, GLB with meshopt, texture. Latency is that of good",
            "calls, measured to the end of the stream. A stream (ReconstructMany) is one call; ghz",
            "does not see errors of single photos in it.",
            "",
            TABLE + "\n".join(map(row, results)),
            "",
            f"All calls: {total}.",
            "",
            "## First byte of the mesh",
            "",
            first,
        ]
    )


#: Statuses in the order in which they are stacked; others follow.
COLOURS: Final = {
    "OK": "#4c9a6a",
    "ResourceExhausted": "#d9a441",
    "DeadlineExceeded": "#c2553f",
}
OTHER: Final = "#6b6b6b"


def plot(results: Sequence[Result], path: Path) -> bool:
    """Draw latency, throughput and statuses over load; return False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    _latency(axes[0][0], results, "closed", "clients (closed loop)")
    _latency(axes[0][1], results, "open", "calls a second (open loop)")
    _throughput(axes[1][0], results)
    _statuses(axes[1][1], results)
    figure.savefig(path, dpi=110)
    return True


def best(results: Sequence[Result], kind: Kind) -> list[Result]:
    """Return the fastest result of each load of a kind, sorted by load."""
    found: dict[float, Result] = {}
    for result in results:
        load = result.scenario.load
        if result.scenario.kind == kind and (load not in found or result.rate > found[load].rate):
            found[load] = result
    return [found[load] for load in sorted(found)]


def _latency(axes: Any, results: Sequence[Result], kind: Kind, label: str) -> None:
    points = best(results, kind)
    for percentile, shade in zip(PERCENTILES, ("#9db8d9", "#4d7fb8", "#1d3f6e"), strict=True):
        axes.plot(
            [point.scenario.load for point in points],
            [1e3 * point.latency(percentile) for point in points],
            marker="o",
            color=shade,
            label=f"p{percentile}",
        )
    late = [point.scenario.load for point in points if "deadline" in point.scenario.name]
    if late:
        axes.axvspan(late[0], late[-1], color="#eeeeee", label=f"deadline {DEADLINE_SECONDS} s")
    axes.set(xlabel=label, ylabel="latency, ms", title="Latency of good answers", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()


def _throughput(axes: Any, results: Sequence[Result]) -> None:
    points = best(results, "open")
    offered = [point.scenario.load for point in points]
    axes.plot(offered, offered, color="#bbbbbb", linestyle="--", label="offered")
    axes.plot(offered, [p.rate for p in points], marker="o", color="#1d3f6e", label="answered")
    loops = best(results, "closed")
    if loops:
        top = max(loop.rate for loop in loops)
        axes.axhline(top, color="#4c9a6a", linestyle=":", label="best closed loop")
        axes.set(ylim=(0, 1.6 * top))
    axes.set(xlabel="calls a second offered", ylabel="photos a second", title="Good answers")
    axes.grid(alpha=0.3)
    axes.legend()


def _statuses(axes: Any, results: Sequence[Result]) -> None:
    names = [result.scenario.name for result in results]
    codes = list(dict.fromkeys([*COLOURS, *(code for r in results for code in r.codes)]))
    left = [0.0] * len(results)
    for code in codes:
        parts = [100 * r.codes.get(code, 0) / max(1, r.calls) for r in results]
        if any(parts):
            axes.barh(names, parts, left=left, color=COLOURS.get(code, OTHER), label=code)
            left = [a + b for a, b in zip(left, parts, strict=True)]
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="% of calls", title="Ended with")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(codes))
