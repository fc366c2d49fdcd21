"""Format the results of the comparison as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from load_tests.first_byte import quantile
from protome.bench.load import Tally
from protome.config import cores


@dataclass(frozen=True)
class Point:
    """Results of one system under one load.

    Attributes:
        system: name of the system.
        load: name of the load.
        rate: good answers per second; in an open loop those in time.
        p50, p95, p99: percentiles of the latency of good answers, seconds.
        first_p50: median time to the first byte of the mesh, seconds.
        failed: number of failed calls by gRPC status.
        cpu_seconds: processor seconds of the server per call.
        generator: cores used by the load generator.
    """

    system: str
    load: str
    rate: float
    p50: float
    p95: float
    p99: float
    first_p50: float
    failed: Mapping[str, int]
    cpu_seconds: float
    generator: float

    @classmethod
    def of(cls, system: str, load: str, tally: Tally, cpu_seconds: float) -> Self:
        """Combine the load generator's results and the processor seconds of the server."""
        return cls(
            system,
            load,
            tally.good / tally.seconds,
            quantile(tally.latencies, 0.5),
            quantile(tally.latencies, 0.95),
            quantile(tally.latencies, 0.99),
            quantile(tally.first_bytes, 0.5),
            dict(tally.codes),
            cpu_seconds / max(1, tally.calls),
            tally.cpu_seconds,
        )


HEAD: Final = """\
# Protome and peers

The same photo, stages, network and answer (checked byte for byte) behind each server, on the same
{cores} cores: {cores} processes for each stage beside the network, or {cores} that run all stages,
and {cores} batches at a time on one thread each. One load generator on the same cores puts each
load on one server after the other, while the others are stopped. In the last two loads calls arrive
at random times with a deadline, and answers/s counts those in time.

{machine}

| load | server | answers/s | p50 ms | p95 ms | p99 ms | first byte p50 ms | failed \
| server's core ms per call | generator's cores |
|---|---|---|---|---|---|---|---|---|---|
"""


def markdown(points: Sequence[Point], machine: str) -> str:
    """Return the report, with a row for each system under each load, grouped by load."""
    loads = list(dict.fromkeys(point.load for point in points))
    rows = [row(point) for load in loads for point in points if point.load == load]
    return HEAD.format(cores=cores(), machine=machine) + "\n".join(rows) + "\n"


def row(point: Point) -> str:
    """Format a point as a row of the table."""
    times = (point.p50, point.p95, point.p99, point.first_p50)
    failed = ", ".join(f"{code} {count}" for code, count in sorted(point.failed.items()))
    cells = (
        point.load,
        point.system,
        f"{point.rate:.1f}",
        *(f"{1e3 * seconds:.0f}" for seconds in times),
        failed or "-",
        f"{1e3 * point.cpu_seconds:.0f}",
        f"{point.generator:.2f}",
    )
    return f"| {' | '.join(cells)} |"
