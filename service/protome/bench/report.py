"""Format the report of a benchmark for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# If the bounds before and after differ by more than this, other processes used the machine.
QUIET: Final = 0.05
KEYS: Final = (
    "service_over_offline", "cpu_over_offline", "latency_c1_over_stage_sum",
    "goodput_at_3x_over_capacity", "wasted_fraction_at_3x", "refused_median_seconds_at_3x",
    "surface_speedup_standard", "surface_speedup_fine", "surface_two_thread_scaling",
    "peak_rss_bytes", "rss_growth_after_10k",
)  # fmt: skip


def _doubts(report: Mapping[str, Any]) -> list[str]:
    """Return a warning if other processes used the machine during the measurement."""
    if report["offline_spread"] <= QUIET:
        return []
    before, after = report["offline_rates"]
    return [f"the machine was not quiet: {before:.1f} photos/s before, {after:.1f} after"]


def table(report: Mapping[str, Any]) -> str:
    """Return the report as a text table."""
    lines = [
        f"{report['cores']} cores, {report['workers']} workers",
        f"offline bound: {report['offline_rate']:.1f} photos/s, "
        f"{1e3 * report['offline_cpu_seconds']:.1f} ms of a core a photo",
        *_doubts(report),
        "",
        "closed loop: clients  photos/s  p50 ms  p99 ms  over offline  generator cores"
        "  a photo: core ms  event loop's",
    ]
    lines += [
        f"{p['clients']:20} {p['rate']:9.1f} {1e3 * p['latency_p50']:7.0f} "
        f"{1e3 * p['latency_p99']:7.0f} {p['over_offline']:13.2f} {p['generator_cores']:16.2f} "
        f"{1e3 * p['cpu_seconds']:17.1f} {1e3 * p['loop_cpu_seconds']:13.1f}"
        for p in report["closed"]
    ]
    lines += [
        "",
        f"open loop, deadline {report['deadline_seconds']:.2f} s:",
        "offered load  goodput/s  p50 ms  p99 ms  refused  refused in ms  wasted",
    ]
    lines += [
        f"{p['load']:12.1f} {p['goodput']:10.1f} {1e3 * p['latency_p50']:7.0f} "
        f"{1e3 * p['latency_p99']:7.0f} {p['refused']:8} {1e3 * (p['refused_p50'] or 0):14.1f} "
        f"{100 * p['wasted_fraction']:6.1f}%"
        for p in report["open"]
    ]
    lines += ["", "stage (mean ms)    " + "".join(f"{c:>12}" for c in ("offline", "c=1", "c=8"))]
    for stage, row in report["stages"].items():
        cells = ("" if v is None else f"{1e3 * v:.1f}" for v in row.values())
        lines.append(f"{stage:<19}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append("")
    lines += [f"{key}: {report[key]:.4g}" for key in KEYS if report.get(key) is not None]
    return "\n".join(lines)
